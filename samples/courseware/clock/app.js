/* A clock whose hands can be dragged; turning one turns the others. ES5; no network, no storage. */
(function () {
  'use strict';
  var NS = 'http://www.w3.org/2000/svg', colour = window.COLOUR, withSeconds = window.LESSON.seconds;
  var time = withSeconds ? 36000 : 10800, hands = {}, held = null, timer = null, goal = null, svg = document.getElementById('clock');
  function id(name) { return document.getElementById(name); }
  function make(name, set, into) {
    var node = document.createElementNS(NS, name), key;
    for (key in set) { if (set.hasOwnProperty(key)) { node.setAttribute(key, set[key]); } }
    into.appendChild(node);
    return node;
  }
  function two(n) { return n < 10 ? '0' + n : String(n); }
  function face() {
    var n, a, long, t;
    make('circle', { r: 104, fill: '#FFFDF8', stroke: colour, 'stroke-width': 6 }, svg);
    for (n = 0; n < 60; n += 1) {
      a = n * Math.PI / 30; long = n % 5 ? 92.5 : 88;
      make('line', { x1: 96 * Math.sin(a), y1: -96 * Math.cos(a), x2: long * Math.sin(a), y2: -long * Math.cos(a),
        stroke: n % 5 ? '#565A58' : '#22272A', 'stroke-width': n % 5 ? 0.9 : 2 }, svg);
    }
    for (n = 1; n <= 12; n += 1) {
      a = n * Math.PI / 6;
      t = make('text', { x: 76 * Math.sin(a), y: 5.4 - 76 * Math.cos(a), 'text-anchor': 'middle', 'font-size': 16, fill: '#22272A' }, svg);
      t.textContent = n;
    }
  }
  function hand(name, long, thick, tone) {
    var g = make('g', {}, svg);
    make('line', { x1: 0, y1: 12, x2: 0, y2: -long, stroke: tone, 'stroke-width': thick, 'stroke-linecap': 'round' }, g);
    make('line', { x1: 0, y1: -18, x2: 0, y2: -long - 8, stroke: '#000', 'stroke-opacity': 0, 'stroke-width': 22, 'stroke-linecap': 'round' }, g);
    g.style.cursor = 'pointer';
    g.setAttribute('data-hand', name);
    hands[name] = g;
  }
  function spoken(h, m, s) {
    var words = h + '时';
    if (m || s) { words += m + '分'; }
    if (s) { words += s + '秒'; }
    return words;
  }
  function draw() {
    var whole, h, m, s;
    time = (time % 43200 + 43200) % 43200;
    whole = Math.floor(time + 0.001); h = Math.floor(whole / 3600) || 12; m = Math.floor(whole / 60) % 60; s = whole % 60;
    hands.h.setAttribute('transform', 'rotate(' + time / 120 + ')');
    hands.m.setAttribute('transform', 'rotate(' + time / 10 + ')');
    if (hands.s) { hands.s.setAttribute('transform', 'rotate(' + time * 6 + ')'); }
    id('digits').textContent = h + ':' + two(m) + (withSeconds ? ':' + two(s) : '');
    id('said').textContent = spoken(h, m, withSeconds ? s : 0);
    if (goal !== null && !held && Math.abs(time - goal) < (withSeconds ? 1 : 60)) { id('ask').textContent = '对了！' + spoken(h, m, withSeconds ? s : 0) + '。'; goal = null; }
  }
  function angle(event) {
    var box = svg.getBoundingClientRect(), p = event.touches ? event.touches[0] : event;
    var a = Math.atan2(p.clientX - box.left - box.width / 2, box.top + box.height / 2 - p.clientY);
    return (a / (2 * Math.PI) + 1) % 1;
  }
  function grab(event) {
    var node = event.target;
    while (node && node !== svg && !node.getAttribute('data-hand')) { node = node.parentNode; }
    held = node && node !== svg ? node.getAttribute('data-hand') : null;
    if (held) { stop(); event.preventDefault(); }
  }
  function turn(event) {
    var round, part, moved;
    if (!held) { return; }
    event.preventDefault();
    round = held === 'h' ? 43200 : held === 'm' ? 3600 : 60;
    part = angle(event) * round;
    part = held === 'h' ? Math.round(part / 300) * 300 : held === 'm' ? Math.round(part / 60) * 60 : Math.round(part);
    moved = part - (held === 'm' ? Math.round(time % round / 60) * 60 : Math.round(time % round));
    if (moved > round / 2) { moved -= round; }
    if (moved < -round / 2) { moved += round; }
    time += moved;
    draw();
  }
  function release() {
    if (!held) { return; }
    held = null;
    if (!withSeconds) { time = Math.round(time / 60) * 60; }
    draw();
  }
  function stop() { if (timer) { clearInterval(timer); timer = null; } if (id('run')) { id('run').textContent = '走起来'; } }
  function run() {
    if (timer) { stop(); return; }
    id('run').textContent = '停一停';
    timer = setInterval(function () { time += withSeconds ? 1 : 60; draw(); }, withSeconds ? 1000 : 60);
  }
  function ask() {
    var h = Math.floor(Math.random() * 12), m = withSeconds ? Math.floor(Math.random() * 12) * 5 : 0;
    stop();
    goal = (h * 3600 + m * 60) % 43200;
    if (Math.abs(goal - time) < 60) { goal = (goal + 7200) % 43200; h = (h + 2) % 12; }
    id('ask').textContent = '请拨到 ' + (h || 12) + '时' + (m ? m + '分' : '') + (withSeconds ? '整，秒针指着12' : '');
  }
  function set(value) { return function () { stop(); time = value; draw(); }; }
  function button(words, act, kind) {
    var b = document.createElement('button');
    b.type = 'button'; b.textContent = words; b.onclick = act; if (kind) { b.className = kind; }
    id('ledge').appendChild(b);
    return b;
  }
  function add(n) { return function () { stop(); time += n; draw(); }; }
  function size() {
    var rem = parseFloat(getComputedStyle(document.documentElement).fontSize), wide = window.innerWidth > 700;
    var s = wide ? Math.min(window.innerHeight - 8 * rem, window.innerWidth - 29 * rem) : Math.min(window.innerWidth - 2 * rem, window.innerHeight - 24 * rem);
    svg.setAttribute('width', s); svg.setAttribute('height', s);
  }
  face();
  hand('h', 44, 7, '#22272A'); hand('m', 68, 4.4, '#22272A');
  if (withSeconds) { hand('s', 82, 1.7, '#C8432E'); }
  make('circle', { r: 5, fill: withSeconds ? '#C8432E' : '#22272A' }, svg);
  svg.addEventListener('mousedown', grab); svg.addEventListener('touchstart', grab);
  document.addEventListener('mousemove', turn); document.addEventListener('touchmove', turn, { passive: false });
  document.addEventListener('mouseup', release); document.addEventListener('touchend', release);
  button('考考你', ask, 'big'); button('走起来', run).id = 'run';
  if (withSeconds) { button('走1秒', add(1)); button('走5秒', add(5)); button('走1分', add(60)); button('回到整时', function () { stop(); time = Math.floor(time / 3600) * 3600; draw(); }); }
  else { button('3时', set(10800)); button('6时', set(21600)); button('9时', set(32400)); button('12时', set(0)); button('走1时', add(3600)); }
  id('ask').textContent = '用手指拨一拨指针。';
  window.onresize = size;
  size(); draw();
}());
