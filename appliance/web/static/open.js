/* What every opened resource shares: it tells the box how it is used, and its buttons and keys. ES5, no library.
   Other scripts of the page hang on `window.lesson`:
     actions.name = function        what `data-do="name"` does
     keys.push(function (code))     asked in turn, the last first; true: taken
     position = function            where the class is: second or page
     tell(type)                     an event for the box */
(function () {
  'use strict';
  var doc = document, html = doc.documentElement, screen = doc.getElementById('screen');
  var began = new Date().getTime(), queue = [], lesson = window.lesson = { actions: {}, keys: [], playing: null };
  html.className += ' js';

  function now() {
    return Math.round(window.performance && performance.now ? performance.now() : new Date().getTime() - began);
  }
  function on(what, type, run) { if (what) { what.addEventListener(type, run, false); } }
  function each(list, run) { var i; for (i = 0; i < list.length; i += 1) { run(list[i], i); } }
  function mark(name, yes) {
    var names = (' ' + html.className + ' ').replace(' ' + name + ' ', ' ');
    html.className = (names + (yes ? name : '')).replace(/^ +| +$/g, '');
  }
  function marked(name) { return (' ' + html.className + ' ').indexOf(' ' + name + ' ') >= 0; }
  lesson.on = on;
  lesson.each = each;
  lesson.mark = mark;
  lesson.marked = marked;
  lesson.position = function () { return Number(screen.getAttribute('data-page')) || null; };

  /* use: kept until the box has answered that it is written down; after 429 it waits */
  function body(events) { return JSON.stringify({ events: events }); }
  function event(type) {
    return {
      lesson: screen.getAttribute('data-lesson'), resource: screen.getAttribute('data-resource'),
      visit: screen.getAttribute('data-visit'), type: type, at: now(), position: lesson.position()
    };
  }
  var sending = false;
  function again() { sending = false; send(); }
  function send() {
    var batch = queue.slice(0, 50), http;
    if (sending || !batch.length) { return; }
    sending = true;
    http = new XMLHttpRequest();
    http.open('POST', '/api/v1/events', true);
    http.setRequestHeader('Content-Type', 'application/json');
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      if (http.status === 204 || (http.status >= 400 && http.status < 500 && http.status !== 429)) {
        queue.splice(0, batch.length);
        again();
      } else {
        setTimeout(again, http.status === 429 ? 30000 : 5000);
      }
    };
    http.send(body(batch));
  }
  function tell(type) {
    if (!screen || !screen.getAttribute('data-visit')) { return; }
    queue.push(event(type));
    if (queue.length > 400) { queue.splice(1, 1); }
    send();
  }
  lesson.tell = tell;
  var left = false;
  function leave() {
    var http;
    if (left) { return; }
    left = true;
    queue.push(event('close'));
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
  if (screen && screen.getAttribute('data-visit')) {
    setTimeout(function () { if (!screen.getAttribute('data-recorded')) { tell('open'); } }, 0);
    setInterval(function () {
      if (lesson.playing ? lesson.playing() : !doc.hidden) { tell('ping'); }
    }, 30000);
    on(window, 'pagehide', leave);
    on(window, 'beforeunload', leave);
    on(window, 'pageshow', function (shown) { if (shown.persisted) { left = false; } });
  }

  /* full screen: the whole page is it, so that the ledge and what lies over the screen stay; where a browser
     has no full screen, the page fills its window */
  function first(thing, names) {
    var i;
    for (i = 0; i < names.length; i += 1) { if (thing[names[i]]) { return names[i]; } }
    return '';
  }
  var SHOWN = ['fullscreenElement', 'webkitFullscreenElement', 'mozFullScreenElement', 'msFullscreenElement'];
  function full(yes) {
    var isOn = marked('filling'), name, promise;
    if (typeof yes !== 'boolean') { yes = !isOn; }
    mark('filling', yes);
    mark('idle', false);
    if (yes) { name = first(html, ['requestFullscreen', 'webkitRequestFullscreen', 'mozRequestFullScreen', 'msRequestFullscreen']); } else {
      name = first(doc, SHOWN) && first(doc, ['exitFullscreen', 'webkitExitFullscreen', 'mozCancelFullScreen', 'msExitFullscreen']);
    }
    if (name) {
      promise = (yes ? html : doc)[name]();
      if (promise && promise['catch']) { promise['catch'](function () { /* it fills the window instead */ }); }
    }
    if (lesson.laid) { lesson.laid(); }
  }
  each(['fullscreenchange', 'webkitfullscreenchange', 'mozfullscreenchange', 'MSFullscreenChange'], function (type) {
    on(doc, type, function () {
      if (!first(doc, SHOWN)) { mark('filling', false); mark('idle', false); }
      if (lesson.laid) { lesson.laid(); }
    });
  });
  lesson.actions.full = full;
  lesson.actions.print = function () { window.print(); };

  on(doc, 'click', function (click) {
    var at = click.target, name;
    while (at && at !== doc && !(at.getAttribute && at.getAttribute('data-do'))) { at = at.parentNode; }
    name = at && at !== doc && at.getAttribute('data-do');
    if (name && lesson.actions[name]) { lesson.actions[name](at, click); }
  });
  on(doc, 'keydown', function (key) {
    var target = key.target.nodeName, code = key.keyCode, i;
    if (key.defaultPrevented || key.altKey || key.ctrlKey || key.metaKey) { return; }
    if (target === 'INPUT' || target === 'TEXTAREA' || target === 'SELECT') { return; }
    if ((code === 32 || code === 13) && (target === 'BUTTON' || target === 'A')) { return; }
    for (i = lesson.keys.length - 1; i >= 0; i -= 1) {
      if (lesson.keys[i](code, key)) { key.preventDefault(); return; }
    }
    if (code === 27 && marked('filling')) { full(false); }
  });

  /* pages and questions: the links are the truth, keys and clickers follow them */
  lesson.keys.push(function (code) {
    var link = null;
    if (code === 39 || code === 34 || code === 40) { link = doc.getElementById('next'); }
    if (code === 37 || code === 33 || code === 38) { link = doc.getElementById('prev'); }
    if (code === 13) { link = doc.getElementById('answer'); }
    if (!link) { return false; }
    link.click();
    return true;
  });
}());
