/* The board's end of the phone remote: asks the box what a phone wants, and does it with the page's own buttons and
   links. On every page of a board whose remote somebody holds, and on the page with the code. ES5, no library. */
(function () {
  'use strict';
  var doc = document, own = doc.getElementById('remote-js');
  var phones = Number(own.getAttribute('data-phones')), back = own.getAttribute('data-back');
  var tv = own.getAttribute('data-tv') || '', lacking = 0, tap = false, watch = 0;

  function media() { return doc.querySelector('video,audio'); }
  function shown(thing) { return thing && (thing.offsetWidth || thing.offsetHeight) ? thing : null; }
  /* one that is seen, else one that is not: a full screen hides the ledge, and it works all the same */
  function first(names) {
    var i, k, all, hidden = null;
    for (i = 0; i < names.length; i += 1) {
      all = doc.querySelectorAll(names[i]);
      for (k = 0; k < all.length; k += 1) {
        if (shown(all[k])) { return all[k]; }
        hidden = hidden || all[k];
      }
    }
    return hidden;
  }
  function press() {
    var found = first(arguments);
    if (found) { found.click(); }
    return Boolean(found);
  }
  function louder(step) {
    var playing = media();
    if (playing) { playing.muted = false; playing.volume = Math.max(0, Math.min(1, playing.volume + step)); }
  }
  function by(seconds) {
    var playing = media();
    if (playing) { playing.currentTime = Math.max(0, playing.currentTime + seconds); }
  }
  function play() {
    var playing = media();
    if (!press('[data-do="play"]') && playing) {
      if (playing.paused) { playing.play(); } else { playing.pause(); }
    } else if (!playing) {
      press('.tool.big', '.btn-ink', '[data-first]');
    }
    /* an engine that wants a touch first leaves it standing */
    clearTimeout(watch);
    if (playing && playing.paused) {
      watch = setTimeout(function () { tap = playing.paused; }, 1500);
    }
    tap = false;
  }
  function key(code) {
    return function () { if (window.tvKey) { window.tvKey(code); } };
  }
  var deeds = {
    play: play,
    back: function () { if (!press('[data-do="back"]')) { by(-10); } },
    on: function () { if (!press('[data-do="on"]')) { by(10); } },
    prev: function () { press('#prev', '[rel="prev"]'); },
    next: function () { press('#next', '[rel="next"]'); },
    answer: function () { press('#answer'); },
    full: function () { press('[data-do="full"]'); },
    louder: function () { louder(0.15); },
    softer: function () { louder(-0.15); },
    stop: function () { location.href = tv || '/'; },
    up: key(38), down: key(40), left: key(37), right: key(39), ok: key(13), exit: key(27),
    open: function (path) { location.href = tv + path; }
  };

  function number(thing, name) { return thing ? Number(thing.getAttribute(name)) || 0 : 0; }
  function state() {
    var playing = media(), heading = doc.querySelector('h1'), paged = playing ? null : doc.querySelector('[data-of]');
    return {
      title: heading ? heading.textContent.replace(/\s+/g, ' ').slice(0, 100) : '',
      media: Boolean(playing), playing: Boolean(playing && !playing.paused), tap: tap, tv: Boolean(tv),
      pages: Boolean(paged),
      at: playing ? Math.floor(playing.currentTime) || 0 : number(paged, 'data-page'),
      of: playing && isFinite(playing.duration) ? Math.floor(playing.duration) || 0 : number(paged, 'data-of')
    };
  }

  function later(milliseconds) { setTimeout(hear, milliseconds); }
  function hear() {
    var http;
    if (doc.hidden) { later(1000); return; }
    http = new XMLHttpRequest();
    http.open('POST', '/api/v1/remote', true);
    http.setRequestHeader('Content-Type', 'application/json');
    http.timeout = 15000;
    http.onreadystatechange = function () {
      var told, i, name = '';
      if (http.readyState !== 4) { return; }
      if (http.status !== 200) { lacking += 1; later(Math.min(1000 * lacking, 10000)); return; }
      lacking = 0;
      told = JSON.parse(http.responseText);
      if (back !== null && told.phones > phones) { location.replace(back); return; }
      phones = told.phones;
      for (i = 0; i < told.asked.length; i += 1) {
        name = told.asked[i].do;
        if (deeds[name]) { deeds[name](told.asked[i].path); }
      }
      if (back === null && !phones) { return; }
      /* where no thread was free to wait, ask again a little later */
      later(name === 'open' || name === 'stop' ? 4000 : told.asked.length ? 150 : told.waited ? 0 : 1000);
    };
    http.send(JSON.stringify({ state: state(), phones: phones, wait: true }));
  }

  /* what changes between two words is told at once, so that the phone shows it */
  function changed() {
    var http = new XMLHttpRequest();
    http.open('POST', '/api/v1/remote/state', true);
    http.setRequestHeader('Content-Type', 'application/json');
    http.send(JSON.stringify({ state: state() }));
  }
  if (media()) {
    ['play', 'pause', 'seeked', 'loadedmetadata'].forEach(function (type) {
      media().addEventListener(type, function () { if (phones) { changed(); } }, false);
    });
  }
  hear();
}());
