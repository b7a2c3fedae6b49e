/* Four arrows, OK and back, on every page that a television shows: the arrows move the focus to what lies that way.
   While something plays they wind and pause. ES5, no library. */
(function () {
  'use strict';
  var doc = document, html = doc.documentElement, media = doc.querySelector('.whole0 video,.whole0 audio');
  var paged = doc.querySelector('.whole0 #page'), quiet = 0, lesson = window.lesson;
  var LEFT = 37, UP = 38, RIGHT = 39, DOWN = 40;
  var BACK = { 27: 1, 166: 1, 461: 1, 10009: 1 };
  html.className += ' tvkeys js' + (paged ? ' paged' : '');

  function mark(name, yes) {
    html.className = html.className.replace(new RegExp(' ' + name + '(?= |$)', 'g'), '') + (yes ? ' ' + name : '');
  }
  function marked(name) { return (html.className + ' ').indexOf(' ' + name + ' ') >= 0; }
  function seen(thing) {
    var box = thing.getBoundingClientRect(), style;
    if (!box.width || !box.height || thing.disabled) { return false; }
    style = window.getComputedStyle(thing);
    return style.visibility !== 'hidden' && (box.right > 0 && thing.className !== 'skip');
  }
  function all() {
    return [].filter.call(doc.querySelectorAll('a[href],button,input:not([type="hidden"]),select,[tabindex="0"]'), seen);
  }
  function gap(low, high, from, to) { return high < from ? from - high : low > to ? low - to : 0; }
  /* the nearest one that way: what lies straight ahead goes before what lies beside */
  function ahead(code) {
    var here = doc.activeElement, box, best = null, least = Infinity;
    if (!here || here === doc.body || !seen(here)) { return start(); }
    box = here.getBoundingClientRect();
    all().forEach(function (thing) {
      var to = thing.getBoundingClientRect(), along, beside, far;
      if (thing === here) { return; }
      if (code === LEFT || code === RIGHT) {
        along = code === RIGHT ? to.left - box.right : box.left - to.right;
        if ((code === RIGHT ? to.left + to.right - box.left - box.right : box.left + box.right - to.left - to.right) < 4) { return; }
        beside = gap(to.top, to.bottom, box.top, box.bottom);
      } else {
        along = code === DOWN ? to.top - box.bottom : box.top - to.bottom;
        if ((code === DOWN ? to.top + to.bottom - box.top - box.bottom : box.top + box.bottom - to.top - to.bottom) < 4) { return; }
        beside = gap(to.left, to.right, box.left, box.right);
      }
      if (along < -8) { return; }
      far = Math.max(along, 0) + 3 * beside + 0.1 * (Math.abs(to.left - box.left) + Math.abs(to.top - box.top)) / 10;
      if (far < least) { least = far; best = thing; }
    });
    return best;
  }
  /* home stands for days: it is fetched again, and the focus stays on what it is on */
  function known(thing) {
    var form = thing.form, card = form && form.querySelector('[name="card"]');
    return thing.getAttribute('href') || (card ? card.value + ' ' + thing.value : '');
  }
  function put(text) {
    var made = new DOMParser().parseFromString(text, 'text/html'), here = doc.activeElement, place, name, n, left, top;
    var main = doc.getElementById('main'), inside = main.contains(here) || doc.getElementById('now').contains(here), old, fresh;
    if (!made.querySelector('main[data-fresh]')) { return; }
    name = inside ? known(here) : '';
    place = all().indexOf(here);
    left = window.pageXOffset;
    top = window.pageYOffset;
    ['now', 'main'].forEach(function (id) {
      old = doc.getElementById(id);
      fresh = made.getElementById(id);
      if (old.innerHTML !== fresh.innerHTML) { old.innerHTML = fresh.innerHTML; }
    });
    old = doc.querySelector('svg.sprite');
    fresh = made.querySelector('svg.sprite');
    if (old && fresh) { old.parentNode.replaceChild(doc.importNode(fresh, true), old); }
    if (!inside || (doc.activeElement && doc.activeElement !== doc.body)) { return; }
    fresh = all();
    for (n = 0, old = null; n < fresh.length && !old; n += 1) {
      if (known(fresh[n]) === name) { old = fresh[n]; }
    }
    old = old || fresh[Math.min(place, fresh.length - 1)];
    if (old) { old.focus(); }
    window.scrollBy(left - window.pageXOffset, top - window.pageYOffset);
  }
  function refresh() {
    var http = new XMLHttpRequest();
    http.open('GET', location.href, true);
    http.timeout = 20000;
    http.onload = function () { if (http.status === 200) { put(http.responseText); } };
    http.send();
  }
  function start() {
    var kept = null, i, things = all();
    try { kept = window.sessionStorage.getItem('tv ' + location.pathname); } catch (closed) { kept = null; }
    for (i = 0; kept && i < things.length; i += 1) {
      if (things[i].getAttribute('href') === kept) { return things[i]; }
    }
    return doc.querySelector('[data-first]') || doc.querySelector('main a[href],main button') || things[0] || null;
  }
  function focus(thing) {
    var box, ledge = doc.querySelector('.ledge'), low;
    if (!thing) { return; }
    thing.focus();
    if (ledge && ledge.contains(thing)) { return; }
    box = thing.getBoundingClientRect();
    low = window.innerHeight - (ledge ? ledge.offsetHeight : 0) - 24;
    if (box.bottom > low) { window.scrollBy(0, box.bottom - low); }
    if (box.top < 90) { window.scrollBy(0, box.top - 90); }
  }
  doc.addEventListener('click', function () {
    var here = doc.activeElement;
    try {
      if (here && here.getAttribute('href')) { window.sessionStorage.setItem('tv ' + location.pathname, here.getAttribute('href')); }
    } catch (closed) { /* it begins at the first one then */ }
  }, true);
  function back() {
    var link = doc.getElementById('back') || doc.querySelector('.ledge a.tool');
    if (link) { location.href = link.href; } else { history.back(); }
  }

  /* what plays */
  function clock(seconds) {
    var whole = Math.floor(seconds || 0), rest = whole % 60;
    return Math.floor(whole / 60) + ':' + (rest < 10 ? '0' : '') + rest;
  }
  function stir() {
    mark('quiet9', false);
    clearTimeout(quiet);
    quiet = setTimeout(function () { mark('quiet9', true); }, 5000);
  }
  function draw() {
    var share = media.duration ? media.currentTime / media.duration : 0;
    doc.getElementById('at').textContent = clock(media.currentTime) + ' / ' + clock(media.duration);
    doc.getElementById('ran').setAttribute('width', Math.round(1000 * share));
  }
  function toggle() {
    var promise;
    if (!media.paused) { media.pause(); return; }
    promise = media.play();
    if (promise && promise['catch']) { promise['catch'](function () { mark('playing', false); }); }
  }
  function wind(seconds) {
    media.currentTime = Math.max(0, Math.min(media.currentTime + seconds, (media.duration || 1) - 0.2));
    draw();
  }
  /* two teachers: at a stop the recording waits and says what the one in the room does */
  var card = doc.getElementById('stop9'), stops = card ? [].slice.call(card.querySelectorAll('[data-stop]')) : [], before = null;
  function stopAt(stop, number) {
    var minutes = stop.getAttribute('data-minutes'), words = doc.getElementById('stop9-minutes');
    media.pause();
    media.currentTime = before = Number(stop.getAttribute('data-stop'));
    doc.getElementById('stop9-no').textContent = number;
    doc.getElementById('stop9-do').textContent = stop.getAttribute('data-say');
    words.textContent = minutes ? words.getAttribute('data-words').replace('{n}', minutes) + '\u2003' : '';
    card.hidden = false;
  }
  function passed() {
    var now = media.currentTime, was = before;
    before = now;
    if (was === null || media.paused || media.seeking || now - was > 3) { return; }
    stops.forEach(function (stop, n) {
      var when = Number(stop.getAttribute('data-stop'));
      if (was < when && when <= now) { stopAt(stop, n + 1); }
    });
  }
  if (card) {
    media.addEventListener('timeupdate', passed, false);
    ['play', 'seeking'].forEach(function (type) {
      /* a play that a stop has ended by now is none */
      media.addEventListener(type, function () { if (type === 'play' ? !media.paused : media.currentTime !== before) { card.hidden = true; before = media.currentTime; } }, false);
    });
  }
  if (media) {
    ['play', 'pause', 'ended'].forEach(function (type) {
      media.addEventListener(type, function () {
        mark('playing', !media.paused);
        stir();
        if (lesson && (type !== 'pause' || !media.ended)) { lesson.tell(type); }
      }, false);
    });
    media.addEventListener('timeupdate', draw, false);
    media.addEventListener('loadedmetadata', function () {
      var begin = Number(media.getAttribute('data-begin'));
      if (begin && begin < media.duration - 10) { media.currentTime = begin; }
      /* the class goes on where it stopped, which may be a stop that was still up */
      stops.forEach(function (stop, n) { if (begin && Math.abs(Number(stop.getAttribute('data-stop')) - begin) < 1.5) { stopAt(stop, n + 1); } });
      draw();
    }, false);
    media.addEventListener('ended', function () { setTimeout(back, 3000); }, false);
    if (lesson) {
      lesson.position = function () { return Math.round(media.currentTime) || 0; };
      lesson.playing = function () { return !media.paused; };
    }
    mark('playing', !media.paused);
    doc.querySelector('[data-tv="play"]').addEventListener('click', toggle, false);
  }
  if (media || paged) { stir(); }

  function go(code) {
    var link;
    if (BACK[code] || (code === 8 && doc.activeElement.nodeName !== 'INPUT')) { back(); return true; }
    if (media) {
      stir();
      if (code === LEFT || code === 227 || code === 412) { wind(-10); return true; }
      if (code === RIGHT || code === 228 || code === 417) { wind(10); return true; }
      if (code === UP || code === DOWN) { media.volume = Math.max(0, Math.min(1, media.volume + (code === UP ? 0.1 : -0.1))); return true; }
      if (code === 13 || code === 32 || code === 179 || code === 415 || code === 19) { toggle(); return true; }
      if (code === 178 || code === 413) { back(); return true; }
      return false;
    }
    if (paged) {
      stir();
      link = doc.getElementById(code === LEFT || code === UP || code === 33 ? 'prev' : code === RIGHT || code === DOWN || code === 13 || code === 34 ? 'next' : '');
      if (link) { if (link.getAttribute('href') !== location.pathname + location.search) { location.replace(link.href); } return true; }
      return code === 13;
    }
    if (code >= LEFT && code <= DOWN) {
      if (doc.activeElement.nodeName === 'INPUT' && (code === LEFT || code === RIGHT)) { return false; }
      focus(ahead(code));
      return true;
    }
    return false;
  }
  /* before the page's own keys, which clickers use */
  doc.addEventListener('keydown', function (event) {
    if (event.altKey || event.ctrlKey || event.metaKey) { return; }
    if (go(event.keyCode)) { event.preventDefault(); event.stopPropagation(); }
  }, true);
  window.tvKey = function (code) {
    if (!go(code) && code === 13 && doc.activeElement && doc.activeElement !== doc.body) { doc.activeElement.click(); }
  };
  var at = null;
  doc.addEventListener('mousemove', function (event) {
    var moved = at && (at[0] !== event.screenX || at[1] !== event.screenY);
    at = [event.screenX, event.screenY];
    if (moved && !marked('mouse')) { mark('mouse', true); setTimeout(function () { mark('mouse', false); }, 6000); }
    if (moved && (media || paged)) { stir(); }
  }, false);
  if (doc.activeElement === doc.body || !doc.activeElement) { focus(start()); }
  var changing = doc.querySelector('main[data-fresh]');
  if (changing) { setInterval(refresh, 1000 * changing.getAttribute('data-fresh')); }
}());
