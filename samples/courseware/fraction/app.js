/* A disc and a strip, cut into equal parts that can be coloured. ES5; no network, no storage. */
(function () {
  'use strict';
  var NS = 'http://www.w3.org/2000/svg', colour = window.COLOUR, parts = 2, on = [true], comparing = false;
  var FIGURES = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九', '十', '十一', '十二'];
  function id(name) { return document.getElementById(name); }
  function make(name, set, into) {
    var node = document.createElementNS(NS, name), key;
    for (key in set) { if (set.hasOwnProperty(key)) { node.setAttribute(key, set[key]); } }
    into.appendChild(node);
    return node;
  }
  function slice(n) {
    var a = n / parts * 2 * Math.PI, b = (n + 1) / parts * 2 * Math.PI, r = 100;
    if (parts === 1) { return 'M0 -100A100 100 0 1 1 -0.01 -100Z'; }
    return 'M0 0L' + r * Math.sin(a) + ' ' + -r * Math.cos(a) + 'A' + r + ' ' + r + ' 0 ' + (parts < 2 ? 1 : 0) + ' 1 ' +
      r * Math.sin(b) + ' ' + -r * Math.cos(b) + 'Z';
  }
  function paint(n) { return function () { comparing = false; on[n] = !on[n]; draw(); }; }
  function count() { var n, k = 0; for (n = 0; n < parts; n += 1) { if (on[n]) { k += 1; } } return k; }
  function strips(svg) {
    var rows = [1, 2, 3, 4, 6, 8], r, n, t;
    for (r = 0; r < rows.length; r += 1) {
      for (n = 0; n < rows[r]; n += 1) {
        make('rect', { x: -105 + n * 180 / rows[r], y: -100 + r * 40, width: 180 / rows[r], height: 32, stroke: colour,
          'stroke-width': 1.2, fill: n === 0 ? '#E5A23C' : '#FFFDF8' }, svg);
      }
      t = make('text', { x: 92, y: -78 + r * 40, 'font-size': 15, 'text-anchor': 'middle', fill: colour }, svg);
      t.textContent = rows[r] === 1 ? '1' : '1/' + rows[r];
    }
  }
  function draw() {
    var svg = id('art'), n, p, k = count();
    while (svg.firstChild) { svg.removeChild(svg.firstChild); }
    if (comparing) { strips(svg); } else {
      make('circle', { r: 106, fill: '#FFFDF8', stroke: '#DCD4BF', 'stroke-width': 2 }, svg);
      for (n = 0; n < parts; n += 1) {
        p = make('path', { d: slice(n), fill: on[n] ? '#E5A23C' : '#F0E2C2', stroke: '#FFFDF8', 'stroke-width': 3 }, svg);
        p.style.cursor = 'pointer'; p.onclick = paint(n);
        p = make('rect', { x: -105 + n * 210 / parts, y: 118, width: 210 / parts, height: 28, fill: on[n] ? '#E5A23C' : '#FFFDF8',
          stroke: colour, 'stroke-width': 1.4 }, svg);
        p.style.cursor = 'pointer'; p.onclick = paint(n);
      }
    }
    id('parts').textContent = parts;
    id('up').textContent = comparing ? '1' : k; id('down').textContent = comparing ? '?' : parts;
    id('read').textContent = comparing ? '几分之一' : k === 0 ? '还没有涂' : k === parts ? '涂满了，就是 1' : FIGURES[parts] + '分之' + FIGURES[k];
    id('note').textContent = comparing ? '分的份数越多，每一份就越小。' : '点一点，给一份涂上颜色。';
  }
  function cut(by) { return function () { parts = Math.max(1, Math.min(12, parts + by)); on = [true]; comparing = false; draw(); }; }
  function size() {
    var rem = parseFloat(getComputedStyle(document.documentElement).fontSize), wide = window.innerWidth > 700;
    var high = wide ? Math.min(window.innerHeight - 8 * rem, (window.innerWidth - 26 * rem) * 1.19) : Math.min((window.innerWidth - rem) * 1.19, window.innerHeight - 22 * rem);
    id('art').setAttribute('height', high); id('art').setAttribute('width', high / 262 * 220);
  }
  id('less').onclick = cut(-1); id('more').onclick = cut(1);
  id('clear').onclick = function () { on = []; comparing = false; draw(); };
  id('compare').onclick = function () { comparing = !comparing; draw(); };
  window.onresize = size;
  size(); draw();
}());
