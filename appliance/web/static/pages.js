/* Pages under the finger: they follow a swipe, turn by taps, keys and clickers, grow under two fingers. The box
   makes every page; its parts are put in place here. Without this the links turn the pages. ES5. */
(function () {
  'use strict';
  var doc = document, lesson = window.lesson, on = lesson.on, each = lesson.each, screen = doc.getElementById('screen');
  var image, beside, number = 1, last = 1, asked = null, scale = 1, left = 0, top = 0, black = null;
  function id(name) { return doc.getElementById(name); }
  if (!id('page')) { return; }

  function tell() {
    var event = doc.createEvent('Event');
    event.initEvent('board:page', false, false);
    doc.dispatchEvent(event);
  }
  /* an image as large as the screen allows */
  function fit(what) {
    var wide = what.naturalWidth * screen.clientHeight > what.naturalHeight * screen.clientWidth;
    if (what.naturalWidth) { what.className = what.className.replace(/ ?(wider|taller)/g, '') + (wide ? ' wider' : ' taller'); }
  }
  function place(what, x, y, size) {
    what.style.transform = what.style.msTransform = x || y || size !== 1 ? 'translate(' + x + 'px,' + y + 'px) scale(' + size + ')' : 'none';
  }
  var ticking = false;
  function draw() {
    ticking = false;
    place(image, left, top, scale);
    tell();
  }
  function soon() {
    if (ticking) { return; }
    ticking = true;
    (window.requestAnimationFrame || setTimeout)(draw, 16);
  }
  function keepIn() {
    var most = [screen.clientWidth * (scale - 1) / 2, screen.clientHeight * (scale - 1) / 2];
    left = Math.max(-most[0], Math.min(left, most[0]));
    top = Math.max(-most[1], Math.min(top, most[1]));
  }
  function zoom(to) {
    var share = Math.max(1, Math.min(to, 5)) / scale;
    scale = share * scale < 1.06 ? 1 : share * scale;
    left *= share;
    top *= share;
    keepIn();
    screen.className = screen.className.replace(/ ?near/g, '') + (scale > 1 ? ' near' : '');
    id('zoom').className = 'tool' + (scale > 1 ? ' on' : '');
    soon();
  }
  lesson.actions.smaller = function () { zoom(scale / 1.5); };

  /* the next page is fetched while this one is looked at, and no other */
  function ahead() {
    var after = id('sheet').getAttribute('data-after');
    if (after) { new Image().src = after; }
  }
  function shown(n, address) {
    image.className = image.className.replace(/ ?slides/g, '');
    if (image.getAttribute('src') !== address) { image.setAttribute('src', address); }
    id('trouble').hidden = true;
    number = n;
    screen.setAttribute('data-page', n);
    scale = 1;
    left = top = 0;
    zoom(1);
    if (beside && beside.getAttribute('src') !== address) { away(); }
    fit(image);
    place(image, 0, 0, 1);
    tell();
  }
  function away() { if (beside) { beside.parentNode.removeChild(beside); beside = null; } }
  function take(made, href) {
    var sheet = made.getElementById('sheet'), held = doc.activeElement, key = held && held.getAttribute('data-k'), again;
    each(['at', 'film', 'rest', 'prev', 'next', 'zoom'], function (name) {
      var old = id(name), fresh = made.getElementById(name);
      if (old && fresh) { old.parentNode.replaceChild(doc.importNode(fresh, true), old); }
    });
    each(['href', 'data-page', 'data-before', 'data-after'], function (name) {
      if (sheet.hasAttribute(name)) { id('sheet').setAttribute(name, sheet.getAttribute(name)); } else { id('sheet').removeAttribute(name); }
    });
    image.setAttribute('alt', made.getElementById('page').getAttribute('alt'));
    shown(Number(sheet.getAttribute('data-page')), made.getElementById('page').getAttribute('src'));
    again = key && doc.querySelector('[data-k="' + key + '"]');
    if (again) { again.focus(); }
    history.replaceState(null, '', href);
    if (image.complete) { ahead(); }
  }
  function go(href) {
    var http;
    if (!window.history.replaceState || !window.DOMParser) { location.href = href; return; }
    http = asked = new XMLHttpRequest();
    http.open('GET', href, true);
    http.onload = function () {
      var made;
      if (http !== asked) { return; }
      made = new DOMParser().parseFromString(http.responseText, 'text/html');
      if (http.status !== 200 || !made.getElementById('sheet')) { location.href = href; return; }
      take(made, href);
    };
    http.onerror = function () { location.href = href; };
    http.send();
  }
  function to(n) { go(id('next').href.replace(/([?&]page=)\d+/, '$1' + n)); }
  /* by one: at once when the image is known, the rest follows */
  function by(step) {
    var sheet = id('sheet'), known = Number(sheet.getAttribute('data-page')) === number, address;
    if (number + step < 1 || number + step > last) { left = 0; soon(); return; }
    address = known && sheet.getAttribute(step > 0 ? 'data-after' : 'data-before');
    if (address) { shown(number + step, address); } else { number += step; }
    to(number);
  }

  /* swipes, pinches, taps */
  var fingers = {}, began = null, width = 1, moved = false, pinch = 0, grown = 1, at = 0;
  function names() { var all = [], name; for (name in fingers) { if (fingers.hasOwnProperty(name)) { all.push(name); } } return all; }
  function apart() {
    var held = names(), a = fingers[held[0]], b = fingers[held[1]];
    return Math.sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)) || 1;
  }
  function neighbour() {
    var step = left < 0 ? 1 : -1, address = id('sheet').getAttribute(step > 0 ? 'data-after' : 'data-before');
    if (Number(id('sheet').getAttribute('data-page')) !== number) { address = null; }
    if (beside && beside.getAttribute('src') !== address) { away(); }
    if (address && !beside) {
      beside = doc.createElement('img');
      beside.setAttribute('alt', '');
      beside.className = 'next0';
      on(beside, 'load', function () { fit(this); });
      beside.setAttribute('src', address);
      screen.appendChild(beside);
      if (beside.complete) { fit(beside); }
    }
    if (beside) { place(beside, left + step * width, 0, 1); } else { left = left / 3; }
  }
  function press(name, x, y) {
    fingers[name] = { x: x, y: y };
    width = screen.clientWidth || 1;
    if (names().length === 1) {
      began = { x: x, y: y, left: left, top: top };
      moved = false;
      at = new Date().getTime();
      image.className = image.className.replace(/ ?slides/g, '');
    } else {
      pinch = apart();
      grown = scale;
      moved = true;
    }
  }
  function drag(name, x, y) {
    if (!fingers[name]) { return; }
    fingers[name] = { x: x, y: y };
    if (names().length > 1) {
      if (pinch) { zoom(grown * apart() / pinch); }
      return;
    }
    if (!began) { return; }
    if (Math.abs(x - began.x) + Math.abs(y - began.y) > 9) { moved = true; }
    if (!moved) { return; }
    left = began.left + x - began.x;
    if (scale > 1) { top = began.top + y - began.y; keepIn(); } else { neighbour(); }
    soon();
  }
  function release(name, cancelled) {
    var finger = fingers[name], gone = new Date().getTime() - at, step;
    if (!finger) { return; }
    delete fingers[name];
    if (names().length) { began = null; pinch = 0; return; }
    if (cancelled) { if (scale === 1) { settle(0); } } else if (!moved && began && gone < 800) {
      if (scale === 1) { by(began.x - screen.getBoundingClientRect().left < width / 4 ? -1 : 1); }
    } else if (began && scale === 1) {
      step = left < 0 ? 1 : -1;
      if (Math.abs(left) > width * 0.18 || (Math.abs(left) > 30 && Math.abs(left) / Math.max(gone, 1) > 0.5)) { settle(step); } else { settle(0); }
    }
    began = null;
  }
  function settle(step) {
    var side = left < 0 ? 1 : -1;
    if (step && (number + step < 1 || number + step > last)) { step = 0; }
    image.className += ' slides';
    left = -step * width;
    draw();
    if (beside) { beside.className += ' slides'; place(beside, step ? 0 : side * width, 0, 1); }
    setTimeout(function () {
      image.className = image.className.replace(/ ?slides/g, '');
      if (step) { by(step); } else { away(); }
    }, step ? 190 : 200);
  }

  function dark() {
    if (black) { black.parentNode.removeChild(black); black = null; return; }
    black = doc.createElement('div');
    black.className = 'black0';
    on(black, 'click', function (event) { event.stopPropagation(); dark(); });
    screen.appendChild(black);
  }
  lesson.position = function () { return number; };
  lesson.keys.push(function (code, event) {
    if (code === 66 || code === 190) { dark(); return true; }
    if (black) { dark(); return true; }
    if (code === 39 || code === 34 || code === 40 || (code === 32 && !event.shiftKey)) { by(1); return true; }
    if (code === 37 || code === 33 || code === 38 || code === 32) { by(-1); return true; }
    if (code === 36 && last > 1) { to(1); return true; }
    if (code === 35 && last > 1) { to(last); return true; }
    if (code === 187 || code === 107) { zoom(scale * 1.5); return true; }
    if (code === 189 || code === 109) { zoom(scale / 1.5); return true; }
    return false;
  });

  function start() {
    image = id('page');
    last = Number(id('sheet').getAttribute('data-of'));
    number = Number(id('sheet').getAttribute('data-page'));
    screen.setAttribute('data-page', number);
    screen.className = screen.className.replace(/ ?\bzoom\b/g, '');
    on(image, 'load', function () { fit(image); away(); tell(); ahead(); });
    on(image, 'error', function () { id('trouble').hidden = false; });
    if (image.complete) { fit(image); id('trouble').hidden = image.naturalWidth > 0; ahead(); }
    lesson.laid = function () { fit(image); keepIn(); soon(); };
    on(window, 'resize', lesson.laid);
    window.fingers(id('sheet'), press, drag, release);
    on(screen, 'dragstart', function (event) { event.preventDefault(); });
    on(doc, 'click', function (event) {
      var link = event.target;
      while (link && link !== doc && link.nodeName !== 'A') { link = link.parentNode; }
      if (!link || link === doc || event.ctrlKey || event.metaKey || event.shiftKey || event.button) { return; }
      if (link.id === 'sheet') {
        event.preventDefault();
        if (event.detail === 0) { by(1); }
      } else if (link.id === 'zoom') {
        event.preventDefault();
        zoom(scale >= 4 ? 1 : scale * 1.5);
      } else if (link.id === 'next' || link.id === 'prev') {
        event.preventDefault();
        by(link.id === 'next' ? 1 : -1);
      } else if (link.getAttribute('data-k')) {
        event.preventDefault();
        go(link.href);
      }
    });
    on(id('goto'), 'submit', function (event) {
      var n = Math.floor(Number(id('goto-n').value));
      event.preventDefault();
      if (n >= 1 && n <= last) { to(n); id('goto-n').value = ''; id('goto-n').blur(); }
    });
  }
  on(doc, 'DOMContentLoaded', start);
}());
