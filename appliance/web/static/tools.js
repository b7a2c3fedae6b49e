/* Teaching tools over whatever #screen shows: pens, eraser, spotlight, curtain, blackboard, countdown, random
   pick. Ink lies on one canvas above the content; strokes are kept as numbers, so that they survive a resize,
   full screen and a turned page as long as the page is open. ES5, no library. */
(function () {
  'use strict';
  var doc = document, html = doc.documentElement, kit = doc.getElementById('kit');
  if (!kit) { return; }
  window.kitReady = true;
  if (!/(^| )js( |$)/.test(html.className)) { html.className += ' js'; }

  function id(name) { return doc.getElementById(name); }
  function on(what, type, run) { if (what) { what.addEventListener(type, run, false); } }
  function each(list, run) { var i; for (i = 0; i < list.length; i += 1) { run(list[i], i); } }
  function flag(what, name, yes) {
    var names = (' ' + what.className + ' ').replace(' ' + name + ' ', ' ');
    what.className = (yes ? names + name : names).replace(/^ +| +$/g, '');
  }
  var later = window.requestAnimationFrame || function (run) { return setTimeout(run, 16); };
  function now() { return window.performance && performance.now ? performance.now() : new Date().getTime(); }

  function fire(what, type) {
    var event = doc.createEvent('Event');
    event.initEvent(type, false, false);
    what.dispatchEvent(event);
  }

  /* ink */
  var screen = id('screen'), ink = id('kit-ink'), pen = ink.getContext('2d'), chalk = id('kit-chalk');
  var MOST = 4e6, PENS = ['#d9291c', '#1c5fd2', '#ffc91f'], CHALKS = ['#ff9c8a', '#fffdf8', '#ffd75e'];
  var sheets = {}, live = {}, tool = '', board = false, alone = kit.hasAttribute('data-board'), leaf = 1;
  var wide = 0, high = 0, dots = 1, rule = kit.getAttribute('data-board') || 'plain';

  function key() {
    if (board) { return 'board ' + leaf; }
    return 'page ' + (screen && screen.getAttribute('data-page') || '') + location.pathname;
  }
  function strokes() {
    var name = key();
    if (!sheets[name]) { sheets[name] = []; }
    return sheets[name];
  }
  /* where the content lies on the canvas: what ink keeps its place in */
  function frame() {
    var what = board ? null : id('page') || id('media') || id('picture'), box, share, w, h;
    if (what) {
      box = what.getBoundingClientRect();
      w = what.videoWidth || what.naturalWidth;
      h = what.videoHeight || what.naturalHeight;
      if (w && h && box.width) {
        share = Math.min(box.width / w, box.height / h);
        return { x: box.left + (box.width - w * share) / 2, y: box.top + (box.height - h * share) / 2, w: w * share };
      }
    }
    return { x: 0, y: board || !screen ? 0 : -screen.scrollTop, w: wide || 1 };
  }
  function fit(canvas) {
    var w = canvas.clientWidth, h = canvas.clientHeight, scale = window.devicePixelRatio || 1;
    scale = Math.min(scale, Math.sqrt(MOST / Math.max(w * h, 1)));
    canvas.width = Math.max(1, Math.round(w * scale));
    canvas.height = Math.max(1, Math.round(h * scale));
    return { w: w, h: h, dots: scale };
  }
  /* one piece of a stroke, up to its point number n: the same whether it is being drawn or drawn again */
  function piece(stroke, n, place) {
    var at = stroke.at, i = 2 * n, palette = board ? CHALKS : PENS;
    function x(k) { return (place.x + at[k] * place.w) * dots; }
    function y(k) { return (place.y + at[k + 1] * place.w) * dots; }
    pen.globalCompositeOperation = stroke.pen < 0 ? 'destination-out' : 'source-over';
    pen.strokeStyle = pen.fillStyle = palette[stroke.pen] || '#000';
    pen.lineWidth = stroke.wide * place.w * dots;
    pen.lineCap = pen.lineJoin = 'round';
    pen.beginPath();
    if (n === 0) {
      pen.arc(x(0), y(0), pen.lineWidth / 2, 0, 2 * Math.PI);
      pen.fill();
      return;
    }
    if (n === 1) { pen.moveTo(x(0), y(0)); } else {
      pen.moveTo((x(i - 4) + x(i - 2)) / 2, (y(i - 4) + y(i - 2)) / 2);
    }
    pen.quadraticCurveTo(x(i - 2), y(i - 2), (x(i - 2) + x(i)) / 2, (y(i - 2) + y(i)) / 2);
    pen.stroke();
  }
  function tail(stroke, place) {
    var at = stroke.at, i = at.length - 2;
    if (i < 2) { return; }
    stroke.at.push(at[i], at[i + 1]);
    piece(stroke, i / 2 + 1, place);
  }
  function redraw() {
    var place = frame();
    pen.clearRect(0, 0, ink.width, ink.height);
    each(strokes(), function (stroke) {
      var n;
      for (n = 0; n < stroke.at.length / 2; n += 1) { piece(stroke, n, place); }
    });
  }
  /* the tray and the ledge are as high as their words need: a phone breaks them into rows */
  function lay() {
    var ledge = doc.querySelector('.ledge'), foot = ledge ? ledge.getBoundingClientRect().height : 0;
    var tray = kit.querySelector('.kit-tray').getBoundingClientRect().height;
    kit.style.bottom = foot + 'px';
    if (screen && !alone) { screen.style.bottom = foot + tray + 'px'; }
    each([ink, chalk, spotlight, curtain], function (one) { one.style.height = 'calc(100% - ' + tray + 'px)'; });
    each(kit.querySelectorAll('.kit-card, .kit-rules'), function (one) { one.style.marginBottom = tray + 'px'; });
  }
  function size() {
    var got;
    if (kit.hidden) { return; }
    lay();
    got = fit(ink);
    wide = got.w;
    high = got.h;
    dots = got.dots;
    redraw();
    if (!spotlight.hidden) { sizeSpot(); }
  }

  /* spotlight: all dark but a circle that follows the hand; curtain: pulled away line by line */
  var spotlight = id('kit-spot'), dark = spotlight.getContext('2d'), curtain = id('kit-curtain');
  var lit = { x: 0, y: 0, r: 0, dots: 1 }, drawing = false, pulled = 0, grip = null;
  function spot() {
    drawing = false;
    dark.globalCompositeOperation = 'source-over';
    dark.clearRect(0, 0, spotlight.width, spotlight.height);
    dark.fillStyle = 'rgba(10,16,14,.88)';
    dark.fillRect(0, 0, spotlight.width, spotlight.height);
    dark.globalCompositeOperation = 'destination-out';
    dark.fillStyle = '#000';
    dark.beginPath();
    dark.arc(lit.x * lit.dots, lit.y * lit.dots, lit.r * lit.dots, 0, 2 * Math.PI);
    dark.fill();
  }
  function light(x, y) {
    lit.x = x;
    lit.y = y;
    if (!drawing) { drawing = true; later(spot); }
  }
  function sizeSpot() {
    var got = fit(spotlight);
    lit.dots = got.dots;
    lit.r = 0.24 * Math.min(got.w, got.h);
    if (!lit.x) { lit.x = got.w / 2; lit.y = got.h / 2; }
    spot();
  }
  function pull(by) {
    pulled = Math.max(0, Math.min(pulled + by, high - 60));
    curtain.style.transform = curtain.style.msTransform = 'translateY(' + pulled + 'px)';
  }

  function down(name, x, y) {
    var place = frame(), stroke;
    if (tool === 'spot') { light(x, y); return; }
    stroke = { pen: tool === 'rub' ? -1 : Number(tool.charAt(3)), at: [(x - place.x) / place.w, (y - place.y) / place.w], px: x, py: y };
    stroke.wide = (tool === 'rub' ? 0.05 : 0.0042) * wide / place.w;
    live[name] = { stroke: stroke, place: place };
    strokes().push(stroke);
    piece(stroke, 0, place);
  }
  function move(name, x, y) {
    var held = live[name], stroke;
    if (tool === 'spot') { light(x, y); return; }
    if (!held) { return; }
    stroke = held.stroke;
    if (Math.abs(x - stroke.px) + Math.abs(y - stroke.py) < 2) { return; }
    stroke.px = x;
    stroke.py = y;
    stroke.at.push((x - held.place.x) / held.place.w, (y - held.place.y) / held.place.w);
    piece(stroke, stroke.at.length / 2 - 1, held.place);
  }
  function up(name) {
    if (live[name]) { tail(live[name].stroke, live[name].place); }
    delete live[name];
  }
  var follow = window.fingers;
  follow(ink, down, move, up);
  follow(spotlight, function (name, x, y) { light(x, y); }, function (name, x, y) { light(x, y); }, function () { drawing = false; });
  follow(curtain, function (name, x, y) { grip = y; }, function (name, x, y) {
    if (grip !== null) { pull(y - grip); grip = y; }
  }, function () { grip = null; });

  /* which tool is in the hand */
  function pressed(act, yes) {
    each(kit.querySelectorAll('[data-kit="' + act + '"][aria-pressed]'), function (button) { button.setAttribute('aria-pressed', yes ? 'true' : 'false'); });
  }
  function take(name) {
    tool = name;
    live = {};
    each(['hand', 'pen0', 'pen1', 'pen2', 'rub', 'spot', 'curtain'], function (each1) { pressed(each1, each1 === (name || 'hand')); });
    flag(kit, 'holds', /^pen|^rub/.test(name));
    spotlight.hidden = name !== 'spot';
    curtain.hidden = name !== 'curtain';
    if (name === 'spot') { sizeSpot(); }
    if (name === 'curtain') { pulled = 0; pull(0); }
  }
  /* tapped again it is put down: on a page to point at what lies beneath, on the blackboard for the chalk */
  function either(name) { return function () { take(tool !== name ? name : !board ? '' : /^pen/.test(name) ? name : 'pen1'); }; }
  function show() {
    chalk.hidden = id('kit-rules').hidden = !board;
    chalk.className = 'kit-chalk chalk-' + rule;
    flag(kit, 'board', board);
    pressed('board', board);
    each(id('kit-rules').querySelectorAll('[data-kit=rule]'), function (button) {
      button.setAttribute('aria-pressed', button.getAttribute('data-n') === rule ? 'true' : 'false');
    });
    id('kit-leaf').innerHTML = leaf;
    redraw();
  }
  function open(yes) {
    var button = id('kit-open');
    kit.hidden = !yes;
    flag(html, 'kit-on', yes);
    if (button) { button.setAttribute('aria-expanded', yes ? 'true' : 'false'); flag(button, 'on', yes); }
    if (yes) {
      size();
      if (!tool) { take(board ? 'pen1' : 'pen0'); }
      show();
    } else {
      if (screen) { screen.style.bottom = ''; }
      take('');
      board = false;
      cards('');
      if (button) { button.focus(); }
    }
    fire(window, 'resize'); /* the content has more room, or less */
  }
  function cards(name) {
    each(['timer', 'pick'], function (card) {
      var shown = card === name && id('kit-' + card).hidden;
      id('kit-' + card).hidden = !shown;
      pressed(card, shown);
    });
  }

  /* countdown: the tool on the ledge tells the rest while the card is away; it goes on over a page's end */
  var left = 300000, until = 0, ticking = 0, bell = null, KEPT = 'countdown';
  function rest() { return until ? Math.max(0, until - now()) : left; }
  function tick() {
    var all = Math.ceil(rest() / 1000), seconds = all % 60, text = Math.floor(all / 60) + ':' + (seconds < 10 ? '0' : '') + seconds;
    var said = id('kit-said'), word = id('kit-over');
    id('kit-left').innerHTML = text;
    if (said) {
      if (!said.getAttribute('data-word')) { said.setAttribute('data-word', said.innerHTML); }
      said.innerHTML = until ? text : said.getAttribute('data-word');
    }
    if (until && !all) {
      stop();
      left = 0;
      flag(id('kit-timer'), 'done', true);
      word.innerHTML = word.getAttribute('data-word');
      if (kit.hidden) { open(true); take(''); }
      if (id('kit-timer').hidden) { cards('timer'); }
      if (bell) { try { bell.play(); } catch (ignored) { /* a board without sound still shows it */ } }
      if (said) { said.innerHTML = word.innerHTML; }
    }
  }
  function stop() {
    left = rest();
    until = 0;
    clearInterval(ticking);
    ticking = 0;
    id('kit-run').innerHTML = id('kit-run').getAttribute('data-go');
  }
  function run() {
    if (until) { stop(); tick(); return; }
    calm();
    if (!left) { left = 300000; }
    until = now() + left;
    ticking = setInterval(tick, 250);
    id('kit-run').innerHTML = id('kit-run').getAttribute('data-stop');
    if (!bell && window.Audio) { bell = new Audio(kit.getAttribute('data-bell')); bell.load(); }
    tick();
  }
  function calm() {
    flag(id('kit-timer'), 'done', false);
    id('kit-over').innerHTML = '';
  }
  function minutes(to) {
    calm();
    left = Math.max(60000, Math.min(to, 99 * 60000));
    if (until) { until = now() + left; }
    tick();
  }
  function keep() {
    try {
      if (until) { sessionStorage.setItem(KEPT, JSON.stringify({ left: rest(), at: new Date().getTime() })); } else { sessionStorage.removeItem(KEPT); }
    } catch (ignored) { /* a browser that keeps nothing */ }
  }
  function resume() {
    var kept;
    try { kept = JSON.parse(sessionStorage.getItem(KEPT)); } catch (ignored) { kept = null; }
    if (!kept || typeof kept.left !== 'number' || typeof kept.at !== 'number') { return; }
    left = Math.max(1000, Math.min(kept.left - Math.max(0, new Date().getTime() - kept.at), 99 * 60000));
    run();
  }

  /* random pick: numbers only; one that was called is not called again until all were */
  var most = 30, called = [], rolling = 0;
  try { most = Number(localStorage.getItem('pick')) || 30; } catch (none) { most = 30; }
  most = Math.max(2, Math.min(Math.floor(most), 99));
  function draw() {
    var rest1 = [], n, turns = 14, chosen;
    if (rolling) { return; }
    for (n = 1; n <= most; n += 1) { if (called.indexOf(n) < 0) { rest1.push(n); } }
    if (!rest1.length) { called = []; draw(); return; }
    chosen = rest1[Math.floor(Math.random() * rest1.length)];
    called.push(chosen);
    flag(id('kit-pick'), 'roll', true);
    rolling = setInterval(function () {
      turns -= 1;
      id('kit-drawn').innerHTML = turns > 0 ? 1 + Math.floor(Math.random() * most) : chosen;
      if (turns <= 0) { clearInterval(rolling); rolling = 0; flag(id('kit-pick'), 'roll', false); }
    }, 60);
  }
  function upTo(n) {
    most = Math.max(2, Math.min(n, 99));
    called = [];
    id('kit-most').innerHTML = most;
    try { localStorage.setItem('pick', String(most)); } catch (ignored) { /* a browser that keeps nothing */ }
  }

  var acts = {
    hand: function () { take(''); },
    rub: either('rub'), spot: either('spot'), curtain: either('curtain'),
    clear: function () { strokes().length = 0; redraw(); },
    board: function () {
      board = !board;
      show();
      take(board ? 'pen1' : 'pen0');
    },
    rule: function (button) { rule = button.getAttribute('data-n'); show(); },
    leaf: function (button) { leaf = Math.max(1, Math.min(leaf + Number(button.getAttribute('data-n')), 99)); show(); },
    timer: function () { cards('timer'); calm(); tick(); },
    pick: function () { cards('pick'); id('kit-most').innerHTML = most; },
    minutes: function (button) { minutes(60000 * Number(button.getAttribute('data-n'))); },
    more: function () { minutes(rest() + 60000); },
    less: function () { minutes(rest() - 60000); },
    run: run, draw: draw,
    fewer: function (button) { upTo(most - Number(button.getAttribute('data-n'))); },
    close: function () { open(false); }
  };
  each(['pen0', 'pen1', 'pen2'], function (name) { acts[name] = either(name); });
  each(doc.querySelectorAll('[data-kit]'), function (button) {
    on(button, 'click', function () { acts[button.getAttribute('data-kit')](button); });
  });
  on(id('kit-open'), 'click', function () { open(kit.hidden); });
  doc.addEventListener('keydown', function (event) {
    var code = event.keyCode;
    if (code === 27 && !kit.hidden) {
      if (!id('kit-timer').hidden || !id('kit-pick').hidden) { cards(''); } else if (alone) { take(''); } else { open(false); }
      event.preventDefault();
    } else if (board && code >= 32 && code <= 40 && event.target === doc.body) {
      event.stopPropagation(); /* the pages behind the blackboard stay where they are */
    }
  }, true);
  on(window, 'resize', size);
  on(screen, 'scroll', redraw);
  on(id('media'), 'loadedmetadata', redraw);
  on(window, 'pagehide', keep);
  on(window, 'beforeunload', keep);
  on(doc, 'board:page', redraw);
  if (alone) {
    board = true;
    open(true);
    if (location.hash === '#timer') { cards('timer'); }
    if (location.hash === '#pick') { acts.pick(); }
  }
  if (window.kitWanted) { open(true); }
  resume();
}());
