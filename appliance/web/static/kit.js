/* Fetches the teaching tools when one is first wanted, or when a countdown runs on from the page before. ES5. */
(function () {
  'use strict';
  var doc = document, button = doc.getElementById('kit-open'), going = false;
  if (!button) { return; }
  if (!/(^| )js( |$)/.test(doc.documentElement.className)) { doc.documentElement.className += ' js'; }
  function add(name, settings) {
    var made = doc.createElement(name), key;
    for (key in settings) { if (settings.hasOwnProperty(key)) { made[key] = settings[key]; } }
    doc.body.appendChild(made);
  }
  function scripts(list) {
    if (list.length) { add('script', { src: list[0], onload: function () { scripts(list.slice(1)); } }); }
  }
  function bring(wanted) {
    var http = new XMLHttpRequest();
    window.kitWanted = window.kitWanted || wanted;
    if (going) { return; }
    going = true;
    http.open('GET', button.getAttribute('data-kit-page'), true);
    http.onload = function () {
      if (http.status !== 200) { going = false; return; }
      add('div', { innerHTML: http.responseText });
      add('link', {
        rel: 'stylesheet', href: button.getAttribute('data-kit-style'),
        onload: function () { scripts(button.getAttribute('data-kit-scripts').split(' ')); }
      });
    };
    http.onerror = function () { going = false; };
    http.send();
  }
  function first() {
    if (!window.kitReady) { bring(true); }
  }
  button.addEventListener('click', first, false);
  try { if (sessionStorage.getItem('countdown')) { bring(false); } } catch (ignored) { /* a browser that keeps nothing */ }
}());
