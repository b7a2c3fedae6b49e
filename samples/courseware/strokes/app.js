/* Stroke order: watch, step by step, write. ES5; no network, no storage. */
(function () {
  'use strict';
  var lesson = window.LESSON, colour = window.COLOUR, NS = 'http://www.w3.org/2000/svg';
  var now = 0, writer = null, done = 0, outline = true, round = 0;
  function id(name) { return document.getElementById(name); }
  function make(name, set, into) {
    var node = document.createElementNS(NS, name), key;
    for (key in set) { if (set.hasOwnProperty(key)) { node.setAttribute(key, set[key]); } }
    if (into) { into.appendChild(node); }
    return node;
  }
  function side() {
    var wide = window.innerWidth, high = window.innerHeight, rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    return Math.floor(wide > 700 ? Math.min(high - 8.5 * rem, wide - 27 * rem) : Math.min(wide - 2 * rem, high - 20 * rem));
  }
  function say(words) { id('say').textContent = words; }
  function grid(svg, size) {
    var m = size / 2, dash = { stroke: colour, 'stroke-width': 1.5, 'stroke-dasharray': '7 7', opacity: 0.55 };
    function line(x1, y1, x2, y2) {
      var l = make('line', dash, svg);
      l.setAttribute('x1', x1); l.setAttribute('y1', y1); l.setAttribute('x2', x2); l.setAttribute('y2', y2);
    }
    line(m, 0, m, size); line(0, m, size, m);
    make('rect', { x: 1.5, y: 1.5, width: size - 3, height: size - 3, fill: 'none', stroke: colour, 'stroke-width': 3 }, svg);
  }
  function steps(upto) {
    var data = lesson.data[lesson.chars[now]], box = id('steps'), n, i, svg, g;
    box.innerHTML = '';
    for (n = 0; n < data.strokes.length; n += 1) {
      svg = make('svg', { width: 46, height: 46, viewBox: '0 0 1024 1024' }, box);
      g = make('g', { transform: 'translate(0 900) scale(1 -1)' }, svg);
      for (i = 0; i <= n; i += 1) { make('path', { d: data.strokes[i], fill: i === n ? colour : '#22272A' }, g); }
      svg.style.opacity = n < upto ? 1 : 0.32;
    }
    id('count').textContent = '共 ' + data.strokes.length + ' 画';
  }
  function show(index) {
    var char = lesson.chars[index], size = side(), square = id('square'), svg, buttons = id('chars').children, n, about;
    now = index; done = 0; round += 1; square.innerHTML = '';
    svg = make('svg', { width: size, height: size }, square);
    grid(svg, size);
    svg.id = 'target';
    writer = window.HanziWriter.create('target', char, {
      width: size, height: size, padding: size * 0.06, showOutline: outline, showCharacter: true,
      strokeColor: '#22272A', radicalColor: '#22272A', outlineColor: '#DCD4BF', highlightColor: '#E0A100',
      drawingColor: colour, drawingWidth: size / 24, strokeAnimationSpeed: 1, delayBetweenStrokes: 350,
      charDataLoader: function (c) { return lesson.data[c]; }
    });
    about = lesson.sounds[char] || ['', ''];
    id('sound').textContent = about[0]; id('words').textContent = about[1];
    for (n = 0; n < buttons.length; n += 1) { buttons[n].className = 'ch kai' + (n === index ? ' on' : ''); }
    steps(99); say('');
  }
  function play() {
    var mine;
    show(now); mine = round; say('看一看，每一笔从哪里开始');
    writer.hideCharacter({ duration: 0 });
    writer.animateCharacter({ onComplete: function () { if (mine === round) { say('再看一遍，或者自己写一写'); } } });
  }
  function step() {
    var total = lesson.data[lesson.chars[now]].strokes.length;
    if (done === 0 || done >= total) { show(now); writer.hideCharacter({ duration: 0 }); done = 0; }
    writer.animateStroke(done);
    done += 1;
    steps(done);
    say('第 ' + done + ' 画，共 ' + total + ' 画');
  }
  function write() {
    var mine;
    show(now); mine = round; steps(0); say('用手指从第一笔开始写');
    writer.quiz({
      showHintAfterMisses: 2,
      onCorrectStroke: function (s) { if (mine === round) { steps(s.strokeNum + 1); say(s.strokesRemaining ? '对，接着写' : ''); } },
      onMistake: function (s) { if (mine === round) { say('再看看，第 ' + (s.strokeNum + 1) + ' 画从哪里起笔'); } },
      onComplete: function (s) { if (mine === round) { say(s.totalMistakes ? '写完了，有 ' + s.totalMistakes + ' 处再练练' : '全写对了！'); } }
    });
  }
  function pick(index) { return function () { show(index); }; }
  function start() {
    var n, b;
    for (n = 0; n < lesson.chars.length; n += 1) {
      b = document.createElement('button');
      b.type = 'button'; b.className = 'ch kai'; b.textContent = lesson.chars[n]; b.onclick = pick(n);
      id('chars').appendChild(b);
    }
    id('play').onclick = play; id('step').onclick = step; id('write').onclick = write;
    id('outline').onclick = function () { outline = !outline; this.textContent = outline ? '描红 开' : '描红 关'; show(now); };
    window.onresize = function () { show(now); };
    show(0);
  }
  start();
}());
