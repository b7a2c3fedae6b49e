/* Search while typing, and a pad of letters for boards. ES5, no library; the form works without it. */
(function () {
  'use strict';
  var doc = document, html = doc.documentElement, form = doc.getElementById('ask'), field = doc.getElementById('q');
  var pad = doc.getElementById('pad'), letters = doc.getElementById('by-letters'), keys = doc.getElementById('by-keys');
  var asked = field.value, timer = 0, request = null, composing = false, i, buttons;
  html.className += ' js';

  function show(text, address) {
    var made = new DOMParser().parseFromString(text, 'text/html'), names = ['said', 'found'], n, old, fresh;
    var box = doc.querySelector('svg.sprite'), sprite = made.querySelector('svg.sprite');
    for (n = 0; n < names.length; n += 1) { if (!made.getElementById(names[n])) { return; } }
    for (n = 0; n < names.length; n += 1) {
      old = doc.getElementById(names[n]);
      fresh = doc.importNode(made.getElementById(names[n]), true);
      old.parentNode.replaceChild(fresh, old);
    }
    if (box && sprite) { box.parentNode.replaceChild(doc.importNode(sprite, true), box); }
    doc.title = made.title;
    if (window.history.replaceState) { window.history.replaceState(null, '', address); }
    light();
  }
  function ask() {
    var words = field.value.replace(/^\s+|\s+$/g, ''), address, http;
    if (words === asked) { return; }
    asked = words;
    address = form.getAttribute('action') + '?q=' + encodeURIComponent(words);
    if (request) { request.abort(); }
    http = request = new XMLHttpRequest();
    http.open('GET', address, true);
    http.onload = function () {
      if (http === request && http.status === 200) { show(http.responseText, address); }
    };
    http.send();
  }
  function soon() {
    clearTimeout(timer);
    if (!composing) { timer = setTimeout(ask, 180); }
  }
  function light() {
    var typed = field.value.toLowerCase(), n, key;
    for (n = 0; n < buttons.length; n += 1) {
      key = buttons[n].getAttribute('data-k');
      buttons[n].className = key === '-' || key === '0' ? 'wide' : typed.indexOf(key) < 0 ? '' : 'lit';
    }
  }
  function press() {
    var key = this.getAttribute('data-k'), was = field.value;
    field.value = key === '0' ? '' : key === '-' ? was.slice(0, -1) : was.length < 64 ? was + key : was;
    light();
    soon();
  }
  function pick(by) {
    pad.hidden = !by;
    html.className = html.className.replace(/ typing/g, '') + (by ? '' : ' typing');
    letters.className = 'tool live' + (by ? ' on' : '');
    keys.className = 'tool live' + (by ? '' : ' on');
    letters.setAttribute('aria-pressed', by ? 'true' : 'false');
    keys.setAttribute('aria-pressed', by ? 'false' : 'true');
  }

  buttons = pad.getElementsByTagName('button');
  for (i = 0; i < buttons.length; i += 1) { buttons[i].onclick = press; }
  letters.onclick = function () { pick(true); };
  keys.onclick = function () { pick(false); field.focus(); };
  field.addEventListener('compositionstart', function () { composing = true; }, false);
  field.addEventListener('compositionend', function () { composing = false; soon(); }, false);
  if (window.DOMParser && window.XMLHttpRequest) { field.addEventListener('input', soon, false); }
  light();
}());
