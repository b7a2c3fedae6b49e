/* One opened resource: plays, turns pages, and tells the box how it is used. ES5, no library. */
(function () {
  'use strict';
  var doc = document, screen = doc.getElementById('screen'), media = doc.getElementById('media');
  var began = new Date().getTime(), queue = [], page = 0;
  doc.documentElement.className += ' js';

  function now() {
    return Math.round(window.performance && performance.now ? performance.now() : new Date().getTime() - began);
  }
  function on(what, type, run) { if (what) { what.addEventListener(type, run, false); } }
  function each(list, run) { var i; for (i = 0; i < list.length; i += 1) { run(list[i], i); } }

  /* use: kept until the box has answered that it is written down */
  function position() {
    if (media) { return Math.round(media.currentTime) || 0; }
    return page || null;
  }
  function body(events) { return JSON.stringify({ events: events }); }
  var sending = false;
  function send() {
    var batch = queue.slice(0, 50), http;
    if (sending || !batch.length) { return; }
    sending = true;
    http = new XMLHttpRequest();
    http.open('POST', '/api/v1/events', true);
    http.setRequestHeader('Content-Type', 'application/json');
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      sending = false;
      if (http.status === 204 || (http.status >= 400 && http.status < 500)) {
        queue.splice(0, batch.length);
        if (queue.length) { send(); }
      } else {
        setTimeout(send, 5000);
      }
    };
    http.send(body(batch));
  }
  function tell(type) {
    queue.push({
      lesson: screen.getAttribute('data-lesson'), resource: screen.getAttribute('data-resource'),
      visit: screen.getAttribute('data-visit'), type: type, at: now(), position: position()
    });
    if (queue.length > 400) { queue.splice(1, 1); }
    send();
  }
  var left = false;
  function leave() {
    var http;
    if (left) { return; }
    left = true;
    queue.push({
      lesson: screen.getAttribute('data-lesson'), resource: screen.getAttribute('data-resource'),
      visit: screen.getAttribute('data-visit'), type: 'close', at: now(), position: position()
    });
    try {
      if (navigator.sendBeacon && navigator.sendBeacon('/api/v1/events', body(queue))) { return; }
    } catch (ignored) { /* an old beacon refuses some types: the next road */ }
    try {
      http = new XMLHttpRequest();
      http.open('POST', '/api/v1/events', false);
      http.setRequestHeader('Content-Type', 'application/json');
      http.send(body(queue));
    } catch (lost) { /* the page goes; the box ends the visit by itself */ }
  }
  function visible() { return !doc.hidden; }

  if (screen && screen.getAttribute('data-visit')) {
    if (!screen.getAttribute('data-recorded')) { tell('open'); }
    setInterval(function () {
      if (media ? !media.paused : visible()) { tell('ping'); }
    }, 30000);
    on(window, 'pagehide', leave);
    on(window, 'beforeunload', leave);
    on(window, 'pageshow', function (event) { if (event.persisted) { left = false; } });
  }

  /* full screen, under the names that browsers gave it */
  function first(thing, names) {
    var i;
    for (i = 0; i < names.length; i += 1) { if (thing[names[i]]) { return names[i]; } }
    return '';
  }
  function full() {
    var isOn = first(doc, ['fullscreenElement', 'webkitFullscreenElement', 'msFullscreenElement']);
    var name = isOn ? first(doc, ['exitFullscreen', 'webkitExitFullscreen', 'msExitFullscreen']) :
      first(screen, ['requestFullscreen', 'webkitRequestFullscreen', 'msRequestFullscreen']);
    if (name) { (isOn ? doc : screen)[name](); }
  }

  var actions = { full: full, print: function () { window.print(); } };

  /* video and sound */
  function clock(seconds) {
    var whole = Math.floor(seconds || 0), rest = whole % 60;
    return Math.floor(whole / 60) + ':' + (rest < 10 ? '0' : '') + rest;
  }
  function player() {
    var at = doc.getElementById('at'), all = doc.getElementById('all'), track = doc.getElementById('track');
    var ran = doc.getElementById('ran'), head = doc.getElementById('head');
    var rates = [1, 1.25, 1.5, 0.75], rate = 0, html = doc.documentElement, tries = 0;
    media.removeAttribute('controls');
    function show() {
      var share = media.duration ? 100 * media.currentTime / media.duration : 0;
      at.innerHTML = clock(media.currentTime);
      if (media.duration && isFinite(media.duration)) { all.innerHTML = clock(media.duration); }
      ran.style.width = share + '%';
      head.style.left = share + '%';
      track.setAttribute('aria-valuenow', Math.round(share));
      track.setAttribute('aria-valuetext', clock(media.currentTime));
    }
    function state() {
      html.className = html.className.replace(/ playing/g, '') + (media.paused ? '' : ' playing');
    }
    function to(seconds) {
      media.currentTime = Math.max(0, Math.min(seconds, (media.duration || seconds) - 0.1));
      show();
    }
    function by(seconds) { return function () { to(media.currentTime + seconds); }; }
    function toggle() {
      var promise;
      if (!media.paused) { media.pause(); return; }
      promise = media.play();
      if (promise && promise['catch']) { promise['catch'](function () { state(); }); }
    }
    actions.play = toggle;
    actions.back = by(-10);
    actions.on = by(10);
    actions.speed = function () {
      var label = doc.getElementById('speed');
      rate = (rate + 1) % rates.length;
      media.playbackRate = rates[rate];
      label.innerHTML = rates[rate] + label.getAttribute('data-word');
    };
    actions.words = function () {
      var line = media.textTracks && media.textTracks[0];
      if (line) { line.mode = line.mode === 'showing' ? 'hidden' : 'showing'; }
    };
    on(track, 'click', function (event) {
      var box = track.getBoundingClientRect();
      to((event.clientX - box.left) / box.width * media.duration);
    });
    if (media.nodeName === 'VIDEO') { on(media, 'click', toggle); }
    each(['timeupdate', 'loadedmetadata', 'seeked', 'durationchange'], function (type) { on(media, type, show); });
    on(media, 'play', function () { state(); tell('play'); });
    on(media, 'pause', function () { state(); if (!media.ended) { tell('pause'); } });
    on(media, 'ended', function () { state(); tell('ended'); });
    on(media, 'playing', function () { var box = doc.getElementById('trouble'); tries = 0; if (box) { box.hidden = true; } });
    on(media, 'error', function () {
      var where = media.currentTime, box = doc.getElementById('trouble');
      if (box) { box.hidden = false; }
      tries += 1;
      if (tries > 5) { return; }
      /* the box was busy or restarting: try again where the class stopped */
      setTimeout(function () {
        media.load();
        on(media, 'loadedmetadata', function again() {
          media.removeEventListener('loadedmetadata', again, false);
          media.currentTime = where;
          toggle();
        });
      }, 2000 * tries);
    });
    state();
    show();
    keys = function (code) {
      if (code === 32) { toggle(); return true; }
      if (code === 37) { actions.back(); return true; }
      if (code === 39) { actions.on(); return true; }
      return false;
    };
  }

  /* pages and questions: the links are the truth, keys and clickers follow them */
  var keys = function (code) {
    var link = null;
    if (code === 39 || code === 34 || code === 40) { link = doc.getElementById('next'); }
    if (code === 37 || code === 33 || code === 38) { link = doc.getElementById('prev'); }
    if (code === 13 && doc.activeElement === doc.body) { link = doc.getElementById('answer'); }
    if (!link) { return false; }
    link.click();
    return true;
  };
  function pages() {
    var number = /[?&]page=(\d+)/, query;
    page = Number((number.exec(location.search) || [0, 1])[1]);
    if (!window.history.replaceState || !window.DOMParser) { return; }
    /* fetch the next page as a whole and put its parts in place: one way to make a page, on the box */
    function turn(event) {
      var link = event.currentTarget, http;
      if (event.ctrlKey || event.shiftKey || event.metaKey || event.button) { return; }
      event.preventDefault();
      if (link.href === location.href || link.getAttribute('href').charAt(0) === '#') { return; }
      http = query = new XMLHttpRequest();
      http.open('GET', link.href, true);
      http.onload = function () {
        var made, names = ['at', 'film', 'sheet', 'prev', 'next', 'zoom'];
        if (http !== query) { return; }
        made = new DOMParser().parseFromString(http.responseText, 'text/html');
        if (http.status !== 200 || !made.getElementById('page')) { location.href = link.href; return; }
        each(names, function (name) {
          var old = doc.getElementById(name), fresh = made.getElementById(name), focused = doc.activeElement === old;
          fresh = doc.importNode(fresh, true);
          old.parentNode.replaceChild(fresh, old);
          if (focused) { fresh.focus(); }
        });
        history.replaceState(null, '', link.href);
        page = Number((number.exec(link.href) || [0, 1])[1]);
        arm();
      };
      http.onerror = function () { location.href = link.href; };
      http.send();
    }
    function arm() {
      each(['sheet', 'prev', 'next'], function (name) { on(doc.getElementById(name), 'click', turn); });
      each(doc.getElementById('film').getElementsByTagName('a'), function (link) { on(link, 'click', turn); });
    }
    arm();
  }

  if (media) { player(); }
  if (doc.getElementById('page')) { pages(); }
  if (screen) { page = page || Number(screen.getAttribute('data-page')) || 0; }
  each(doc.querySelectorAll('[data-do]'), function (button) {
    on(button, 'click', function () { actions[button.getAttribute('data-do')](); });
  });
  on(doc, 'keydown', function (event) {
    var target = event.target.nodeName;
    if (event.altKey || event.ctrlKey || event.metaKey || target === 'INPUT') { return; }
    if (event.keyCode === 32 && (target === 'BUTTON' || target === 'A')) { return; }
    if (keys(event.keyCode)) { event.preventDefault(); }
  });
}());
