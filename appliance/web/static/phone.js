/* The phone's end of the remote: keys act without a new page, and what the board does is shown. ES5, no library. */
(function () {
  'use strict';
  var doc = document, keys = doc.getElementById('keys'), gone = false;
  var link = doc.getElementById('link'), dot = link.querySelector('.dot'), said = doc.getElementById('said');

  function clock(seconds) {
    var rest = seconds % 60;
    return Math.floor(seconds / 60) + ':' + (rest < 10 ? '0' : '') + rest;
  }
  function say(how) {
    said.textContent = link.getAttribute('data-' + how);
    dot.className = 'dot' + (how === 'on' ? '' : ' off');
  }
  function show(told) {
    var state = told.state, of = state.of || 0, at = state.at || 0;
    say(told.listens ? 'on' : 'off');
    if (state.title) { doc.getElementById('title').textContent = state.title; }
    doc.getElementById('time').textContent = state.media && of ? clock(at) + ' / ' + clock(of) :
      state.pages && of ? at + ' / ' + of : '';
    doc.getElementById('ran').setAttribute('width', of ? Math.round(1000 * at / of) : 0);
    doc.getElementById('tap').hidden = !state.tap;
    doc.documentElement.className = state.playing ? 'playing' : '';
    keys.className = 'remote' + (state.tv ? ' tv' : '');
  }
  function ask() {
    var http;
    if (doc.hidden || gone) { setTimeout(ask, 1500); return; }
    http = new XMLHttpRequest();
    http.open('GET', keys.getAttribute('data-state'), true);
    http.timeout = 8000;
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      if (http.status === 200) { show(JSON.parse(http.responseText)); }
      else if (http.status === 403) { gone = true; say('gone'); return; }
      else { say('off'); }
      setTimeout(ask, 1000);
    };
    http.send();
  }
  function fields(form, button) {
    var parts = [encodeURIComponent(button.name) + '=' + encodeURIComponent(button.value)], inputs, i;
    inputs = form.getElementsByTagName('input');
    for (i = 0; i < inputs.length; i += 1) {
      parts.push(encodeURIComponent(inputs[i].name) + '=' + encodeURIComponent(inputs[i].value));
    }
    return parts.join('&');
  }
  function press(event) {
    var button = event.currentTarget, form = button.form, http = new XMLHttpRequest();
    event.preventDefault();
    http.open('POST', form.action, true);
    http.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
    http.setRequestHeader('X-Requested-With', 'remote');
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      if (http.status === 204) {
        if (button.getAttribute('data-sent')) {
          button.getElementsByTagName('span')[0].textContent = button.getAttribute('data-sent');
          button.className = 'btn sent';
        }
      } else if (http.status === 403) { say('gone'); }
      else if (http.status !== 429) { say('off'); }
    };
    http.send(fields(form, button));
  }
  [].forEach.call(doc.querySelectorAll('button[name="do"]'), function (button) {
    button.addEventListener('click', press, false);
  });
  ask();
}());
