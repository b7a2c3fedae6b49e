/* Video and sound: controls on the ledge, chapters and stops on the track, subtitles, and words for what goes
   wrong. ES5, no library. */
(function () {
  'use strict';
  var doc = document, lesson = window.lesson, media = doc.getElementById('media');
  if (!media || !lesson) { return; }
  var on = lesson.on, each = lesson.each, mark = lesson.mark, marked = lesson.marked, actions = lesson.actions;
  function id(name) { return doc.getElementById(name); }
  function show(box, yes) { if (box) { box.hidden = !yes; } }
  function number(box, name) { return Number(box.getAttribute(name)) || 0; }
  var track = id('track'), head = id('head'), ran = id('ran'), at = id('at'), all = id('all');
  var isVideo = media.nodeName === 'VIDEO', begin = number(media, 'data-begin'), moved = false;
  var parts = [].slice.call(track.querySelectorAll('.part0')), stops = [].slice.call(track.querySelectorAll('.stop'));
  media.removeAttribute('controls');

  function clock(seconds) {
    var whole = Math.max(0, Math.floor(seconds || 0)), hours = Math.floor(whole / 3600);
    var minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
    return (hours ? hours + ':' + (minutes < 10 ? '0' : '') : '') + minutes + ':' + (rest < 10 ? '0' : '') + rest;
  }
  function length() {
    var known = media.duration;
    return known && isFinite(known) ? known : number(head, 'data-seconds');
  }
  lesson.position = function () { return Math.round(media.currentTime) || 0; };
  lesson.playing = function () { return !media.paused; };
  lesson.clock = clock;

  /* the track: chapters as wide as they last, the head, what was played */
  function lay() {
    var whole = length(), edges = [];
    if (!whole) { return; }
    each(parts, function (part, n) { edges.push(n ? number(part, 'data-at') : 0); });
    each(parts, function (part, n) {
      var from = edges[n], to = n + 1 < edges.length ? edges[n + 1] : whole;
      part.style.left = 100 * from / whole + '%';
      part.style.width = 100 * Math.max(0, to - from) / whole + '%';
    });
    each(stops, function (stop) {
      var share = Math.min(1, number(stop, 'data-at') / whole);
      stop.style.left = 100 * share + '%';
    });
    /* a chapter's words stand clear of the discs */
    each(parts, function (part) {
      var words = part.firstChild, from = part.offsetLeft, size = stops.length ? stops[0].offsetWidth : 0, left;
      part.style.paddingLeft = '';
      left = from + words.offsetLeft;
      each(stops, function (stop) {
        var disc = stop.offsetLeft;
        if (disc - 4 < left + words.offsetWidth && disc + size + 4 > left) { left = disc + size + size / 3; }
      });
      /* … if there they still fit into their chapter */
      if (left > from + words.offsetLeft && left + words.offsetWidth <= from + part.offsetWidth) { part.style.paddingLeft = left - from + 'px'; }
    });
  }
  function part(time) {
    var found = 0;
    each(parts, function (one, n) { if (number(one, 'data-at') <= time + 0.2) { found = n; } });
    return found;
  }
  var SOON = id('soon');
  function draw() {
    var now = media.currentTime, whole = length(), share = whole ? Math.min(1, now / whole) : 0, next = null;
    at.innerHTML = clock(now);
    show(all.parentNode, !!whole);
    if (whole) { all.innerHTML = clock(whole); head.setAttribute('aria-valuemax', Math.round(whole)); }
    ran.style.width = 100 * share + '%';
    head.style.left = 100 * share + '%';
    head.setAttribute('aria-valuenow', Math.round(now));
    head.setAttribute('aria-valuetext', clock(now));
    each(parts, function (one, n) {
      var end = n + 1 < parts.length ? number(parts[n + 1], 'data-at') : whole;
      var here = n === part(now), words = one.firstChild, text = words.offsetLeft + words.offsetWidth;
      var dark = !here ? now >= end : (now - number(one, 'data-at')) / Math.max(1, whole) * track.clientWidth > text + 8;
      one.className = 'part0' + (!here && now >= end ? ' past' : '') + (dark ? ' on' : '');
      if (here) { one.setAttribute('aria-current', 'true'); } else { one.removeAttribute('aria-current'); }
    });
    each(stops, function (stop, n) {
      var when = number(stop, 'data-at');
      stop.className = 'stop js-only' + (now > when - 0.3 && !(card.stop === n) ? ' done' : '');
      if (next === null && when > now + 0.3) { next = n; }
    });
    if (SOON) {
      show(SOON, next !== null);
      mark('has-stop', next !== null);
      if (next !== null) {
        var left = Math.ceil(number(stops[next], 'data-at') - now), minutes = Math.floor(left / 60);
        var words = SOON.getAttribute(minutes ? 'data-long' : 'data-short');
        id('soon-no').innerHTML = next + 1;
        id('soon-said').textContent = words.replace('{m}', minutes).replace('{s}', left % 60) + stops[next].getAttribute('data-say');
      }
    }
  }

  /* two teachers: at a stop the recording waits and says what the one in the room does */
  var card = { stop: -1, since: 0, box: id('card') }, before = begin;
  function stopAt(n) {
    var minutes = stops[n].getAttribute('data-minutes'), words = id('card-minutes');
    card.stop = n;
    card.since = new Date().getTime();
    media.pause();
    id('card-no').innerHTML = n + 1;
    id('card-do').textContent = stops[n].getAttribute('data-say');
    words.textContent = minutes ? words.getAttribute('data-words').replace('{n}', minutes) : '';
    show(card.box, true);
    mark('at-stop', true);
    mark('idle', false);
    said();
  }
  function putAway() {
    if (card.stop < 0) { return; }
    card.stop = -1;
    show(card.box, false);
    mark('at-stop', false);
    said();
  }
  function said() {
    var word = id('play-said');
    word.innerHTML = word.getAttribute(card.stop < 0 ? 'data-play' : 'data-goon');
  }
  if (stops.length) {
    setInterval(function () { if (card.stop >= 0) { id('card-clock').innerHTML = clock((new Date().getTime() - card.since) / 1000); } }, 500);
  }
  function passed() {
    var now = media.currentTime;
    if (!media.paused && !media.seeking && now > before && now - before < 3) {
      each(stops, function (stop, n) {
        var when = number(stop, 'data-at');
        if (before < when && when <= now) { media.currentTime = when; stopAt(n); }
      });
    }
    before = now;
    draw();
  }

  /* controls */
  function to(seconds) {
    var whole = length() || seconds;
    moved = true;
    putAway();
    media.currentTime = before = Math.max(0, Math.min(seconds, whole - 0.1));
    draw();
  }
  function by(seconds) { return function () { to(media.currentTime + seconds); }; }
  function go() {
    var promise;
    putAway();
    black(false);
    promise = media.play();
    if (promise && promise['catch']) { promise['catch'](function () { state(); }); }
  }
  function toggle() { if (media.paused) { go(); } else { media.pause(); } }
  function state() { mark('playing', !media.paused); stir(); }
  actions.play = toggle;
  actions.back = by(-10);
  actions.on = by(10);
  actions.prevpart = function () {
    var n = part(media.currentTime), begun = number(parts[n], 'data-at');
    to(number(parts[media.currentTime - begun > 3 || !n ? n : n - 1], 'data-at'));
  };
  actions.nextpart = function () {
    var n = part(media.currentTime) + 1;
    if (n < parts.length) { to(number(parts[n], 'data-at')); }
  };
  var rates = [1, 1.25, 1.5, 0.75], rate = 0;
  actions.speed = function () {
    var label = id('speed');
    rate = (rate + 1) % rates.length;
    media.playbackRate = media.defaultPlaybackRate = rates[rate];
    label.innerHTML = rates[rate] + label.getAttribute('data-word');
  };

  /* subtitles: drawn here, so that they are as large in every engine; remembered on this board */
  var lines = media.textTracks || [], chosen = -1, cue = id('cue');
  function keep(name, value) { try { window.localStorage.setItem(name, value); } catch (full) { /* not remembered */ } }
  function kept(name) { try { return window.localStorage.getItem(name); } catch (none) { return null; } }
  function speak() {
    var shown = chosen >= 0 && lines[chosen] && lines[chosen].activeCues, words = [], box, n;
    for (n = 0; shown && n < shown.length; n += 1) { words.push(shown[n].text.replace(/<[^>]*>/g, '')); }
    cue.innerHTML = '';
    box = cue.appendChild(doc.createElement('span'));
    each(words.join('\n').split('\n'), function (line, n) {
      if (n) { box.appendChild(doc.createElement('br')); }
      box.appendChild(doc.createTextNode(line.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&nbsp;/g, ' ').replace(/&amp;/g, '&')));
    });
    show(cue, words.length > 0);
    mark('has-cue', words.length > 0);
  }
  function choose(n) {
    var button = id('words'), label = id('words-said');
    chosen = n;
    each(lines, function (line, m) {
      line.mode = m === n ? 'hidden' : 'disabled';
      line.oncuechange = m === n ? speak : null;
    });
    if (button) {
      button.setAttribute('aria-pressed', n >= 0 ? 'true' : 'false');
      label.textContent = n < 0 ? button.getAttribute('data-none') : lines.length > 1 ? lines[n].label : button.getAttribute('data-word');
    }
    if (n >= 0) { cue.lang = lines[n].language; }
    speak();
  }
  function captions() {
    var want = kept('subtitles'), n = lines.length ? 0 : -1;
    each(lines, function (line, m) { if (line.language === want) { n = m; } });
    choose(want === 'off' ? -1 : n);
  }
  actions.words = function () {
    choose(chosen + 1 < lines.length ? chosen + 1 : -1);
    keep('subtitles', chosen < 0 ? 'off' : lines[chosen].language);
  };

  /* the big track: a tap on a chapter goes to its beginning, a drag and a tap in the same chapter to that second */
  var dragged = false, pressed = false;
  function second(event) {
    var box = track.getBoundingClientRect(), point = event.touches && event.touches[0] || event.changedTouches && event.changedTouches[0] || event;
    return Math.max(0, Math.min(1, (point.clientX - box.left) / box.width)) * length();
  }
  function press(event) { pressed = event.type === 'touchstart' ? 'touch' : 'mouse'; dragged = false; press.x = (event.touches ? event.touches[0] : event).clientX; }
  function drag(event) {
    var x = (event.touches ? event.touches[0] : event).clientX;
    if (!pressed) { return; }
    if (!dragged && Math.abs(x - press.x) < 8) { return; }
    dragged = true;
    to(second(event));
    event.preventDefault();
  }
  on(track, 'mousedown', function (event) { if (!event.button) { press(event); event.preventDefault(); } });
  on(track, 'touchstart', press);
  on(doc, 'mousemove', drag);
  on(track, 'touchmove', drag);
  on(doc, 'mouseup', function () { pressed = false; });
  on(track, 'touchend', function () { pressed = false; });
  on(track, 'click', function (event) {
    var link = event.target, when, n;
    if (event.ctrlKey || event.shiftKey || event.metaKey) { return; }
    event.preventDefault();
    if (dragged) { dragged = false; return; }
    while (link !== track && !link.getAttribute('data-at')) { link = link.parentNode; }
    if (link === track) { to(second(event)); return; }
    when = number(link, 'data-at');
    n = parts.indexOf(link);
    if (n < 0) { to(Math.max(0, when - 5)); return; }
    if (n === part(media.currentTime) && event.clientX) { to(second(event)); return; }
    to(when);
  });
  each([id('anew')], function (link) {
    on(link, 'click', function (event) { event.preventDefault(); show(id('from'), false); to(0); go(); });
  });
  on(media, 'playing', function () { setTimeout(function () { show(id('from'), false); }, 12000); });

  /* a tap on the picture plays and pauses; two at its sides go back and on */
  var last = { when: 0, x: 0 };
  if (isVideo) {
    on(media, 'click', function (event) {
      var box = media.getBoundingClientRect(), x = (event.clientX - box.left) / box.width, now = new Date().getTime();
      if (now - last.when < 320 && (x < 0.34 || x > 0.66) && Math.abs(x - last.x) < 0.2) {
        last.when = 0;
        toggle();
        to(media.currentTime + (x < 0.34 ? -10 : 10));
        return;
      }
      last = { when: now, x: x };
      if (marked('filling') && marked('idle')) { stir(); if (event.pointerType === 'touch') { return; } }
      toggle();
    });
  }

  /* in full screen the ledge steps aside while the picture runs, and comes back at the first touch */
  var quiet;
  function stir() {
    clearTimeout(quiet);
    mark('idle', false);
    if (isVideo && marked('filling') && !media.paused) { quiet = setTimeout(function () { mark('idle', marked('filling') && !media.paused); }, 4000); }
  }
  each(['mousemove', 'touchstart', 'keydown', 'focusin'], function (type) { on(doc, type, stir); });
  lesson.laid = function () { lay(); draw(); stir(); };
  on(window, 'resize', function () { lay(); draw(); });

  function black(yes) {
    var box = id('black');
    if (typeof yes !== 'boolean') { yes = box.hidden; }
    if (yes) { media.pause(); }
    show(box, yes);
  }
  on(id('black'), 'click', function () { black(false); });
  lesson.keys.push(function (code, key) {
    if (code === 32) { toggle(); return true; }
    if (code === 13 && (card.stop >= 0 || key.target === doc.body)) { toggle(); return true; }
    if (code === 37) { actions.back(); return true; }
    if (code === 39) { actions.on(); return true; }
    if (code === 34 && card.stop >= 0) { go(); return true; }
    if (code === 33 || code === 34) {
      if (parts.length) { actions[code === 33 ? 'prevpart' : 'nextpart'](); } else { actions[code === 33 ? 'back' : 'on'](); }
      return true;
    }
    if (code === 36 && key.target === head) { to(0); return true; }
    if (code === 35 && key.target === head) { to(length()); return true; }
    if (code === 66 || code === 190 || code === 110) { black(); return true; }
    if (code === 70 && isVideo) { actions.full(); return true; }
    if (code === 67 && lines.length) { actions.words(); return true; }
    return false;
  });

  /* what goes wrong is said in words; what may pass is tried again, where the class was */
  var trouble = id('trouble'), tries = 0, light = media.getAttribute('data-light'), waiting;
  function tell(name) {
    if (name) { id('trouble-said').textContent = trouble.getAttribute('data-' + name); }
    show(id('skip'), name === 'broken');
    show(id('trouble-do'), name !== 'light');
    show(trouble, !!name);
    trouble.setAttribute('data-now', name || '');
    if (name === 'light') { setTimeout(function () { if (trouble.getAttribute('data-now') === 'light') { show(trouble, false); } }, 8000); }
  }
  function load(address) {
    var where = media.currentTime || before || begin;
    function again() {
      media.removeEventListener('loadedmetadata', again, false);
      if (where) { media.currentTime = where; }
      go();
    }
    on(media, 'loadedmetadata', again);
    if (address) { media.src = address; }
    media.load();
    media.playbackRate = rates[rate];
  }
  function lighter() {
    var address = light;
    if (!address) { return false; }
    light = '';
    load(address);
    tell('light');
    return true;
  }
  function unplayable(name) { if (!lighter()) { tell(name); state(); } }
  function failed() {
    var http, code = media.error ? media.error.code : 0;
    clearTimeout(waiting);
    if (!code || code === 1) { return; }
    http = new XMLHttpRequest();
    http.open('HEAD', media.currentSrc || media.src, true);
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      /* the box has the file whole, so it is the file or this board */
      if (http.status === 200 && code > 2) { unplayable(media.currentTime > 1 && code === 3 ? 'broken' : 'format'); return; }
      tell('away');
      tries += 1;
      if (tries < 30) { setTimeout(load, Math.min(2000 * tries, 10000)); }
    };
    http.send();
  }
  actions.retry = function () { tries = 0; tell(''); load(); watch(); };
  actions.skip = function () { var where = media.currentTime + 10; tell(''); before = where; load(); on(media, 'loadedmetadata', function skip() { media.removeEventListener('loadedmetadata', skip, false); to(where); }); };
  /* never a wheel that turns for ever */
  function watch() {
    clearTimeout(waiting);
    waiting = setTimeout(function () { if (media.readyState < 2 && !media.error && !media.paused) { tell('slow'); } }, 15000);
  }
  on(media, 'error', failed);
  each(['waiting', 'stalled'], function (type) { on(media, type, watch); });
  on(media, 'playing', function () {
    clearTimeout(waiting);
    tries = 0;
    if (trouble.getAttribute('data-now') !== 'blind' && trouble.getAttribute('data-now') !== 'light') { tell(''); }
  });
  var resumes = !!id('from'); /* once: the class goes on where it stopped, which may be a stop that was still up */
  on(media, 'loadedmetadata', function () {
    if (begin && !moved && media.currentTime < begin - 2) { media.currentTime = begin < media.duration - 10 ? begin : 0; }
    before = media.currentTime;
    each(stops, function (stop, n) {
      var when = number(stop, 'data-at');
      if (resumes && !moved && Math.abs(when - begin) < 1.5) { media.currentTime = before = when; stopAt(n); }
    });
    resumes = false;
    if (isVideo && media.videoWidth === 0) { unplayable('blind'); }
    lay();
    draw();
  });

  on(media, 'timeupdate', passed);
  each(['seeked', 'durationchange'], function (type) { on(media, type, draw); });
  on(media, 'play', function () { if (!media.paused) { putAway(); } state(); lesson.tell('play'); }); /* a stop may have ended it by now */
  on(media, 'pause', function () { state(); if (!media.ended) { lesson.tell('pause'); } });
  on(media, 'ended', function () { state(); lesson.tell('ended'); });
  captions();
  lay();
  draw();
  state();
  watch();
  if (media.error) { failed(); }
}());
