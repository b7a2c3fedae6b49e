/* A picture: fitted, larger, smaller, turned; nothing of it is ever cut away, what is larger than the screen is
   moved with the finger. Without script a tap opens the file itself. ES5. */
(function () {
  'use strict';
  var doc = document, lesson = window.lesson, screen = doc.getElementById('screen');
  var pic = doc.getElementById('pic'), image = doc.getElementById('picture'), link = doc.getElementById('pic-link');
  var zoom = 1, quarter = 0, start = null;
  if (!image || !lesson) { return; }
  function lay(keep) {
    var wide = image.naturalWidth || 1600, high = image.naturalHeight || 900, side = quarter % 2;
    var w = side ? high : wide, h = side ? wide : high, box = pic.getBoundingClientRect();
    var share = Math.min(box.width / w, box.height / h) * zoom;
    var left = Math.max(0, (box.width - w * share) / 2), top = Math.max(0, (box.height - h * share) / 2);
    var midX = (pic.scrollLeft + box.width / 2) / Math.max(pic.scrollWidth, 1), midY = (pic.scrollTop + box.height / 2) / Math.max(pic.scrollHeight, 1);
    if (!box.width) { return; }
    link.style.width = Math.round(w * share) + 'px';
    link.style.height = Math.round(h * share) + 'px';
    link.style.marginLeft = left + 'px';
    link.style.marginTop = top + 'px';
    image.style.width = Math.round(wide * share) + 'px';
    image.style.height = Math.round(high * share) + 'px';
    image.style.left = (w - wide) * share / 2 + 'px';
    image.style.top = (h - high) * share / 2 + 'px';
    image.style.msTransform = image.style.webkitTransform = image.style.transform = 'rotate(' + 90 * quarter + 'deg)';
    if (keep !== false) {
      pic.scrollLeft = midX * pic.scrollWidth - box.width / 2;
      pic.scrollTop = midY * pic.scrollHeight - box.height / 2;
    }
  }
  function to(times) {
    zoom = Math.max(1, Math.min(8, times));
    lesson.mark('zoomed', zoom > 1);
    lay();
  }
  pic.className += ' live';
  lesson.actions.larger = function () { to(zoom * 1.5); };
  lesson.actions.smaller = function () { to(zoom / 1.5); };
  lesson.actions.turn = function () { quarter = (quarter + 1) % 4; lay(false); };
  lesson.laid = lay;
  lesson.on(window, 'resize', lay);
  lesson.on(image, 'load', lay);
  lesson.on(image, 'error', function () { doc.getElementById('trouble').hidden = false; });
  /* a tap makes it larger, and whole again; a drag moves it */
  lesson.on(link, 'click', function (event) {
    event.preventDefault();
    if (!start || !start.moved) { to(zoom > 1 ? 1 : 2); }
  });
  lesson.on(pic, 'mousedown', function (event) {
    start = { x: event.clientX + pic.scrollLeft, y: event.clientY + pic.scrollTop, moved: false, down: true };
    event.preventDefault();
  });
  lesson.on(doc, 'mousemove', function (event) {
    var x, y;
    if (!start || !start.down) { return; }
    x = start.x - event.clientX;
    y = start.y - event.clientY;
    if (Math.abs(x - pic.scrollLeft) + Math.abs(y - pic.scrollTop) > 6) { start.moved = true; }
    pic.scrollLeft = x;
    pic.scrollTop = y;
  });
  lesson.on(doc, 'mouseup', function () { if (start) { start.down = false; } });
  lesson.keys.push(function (code) {
    if (code === 187 || code === 107 || code === 34) { to(zoom * 1.5); return true; }
    if (code === 189 || code === 109 || code === 33) { to(zoom / 1.5); return true; }
    if (code === 82) { lesson.actions.turn(); return true; }
    if (code === 70) { lesson.actions.full(); return true; }
    return false;
  });
  if (image.complete && !image.naturalWidth && image.src) { setTimeout(function () { if (!image.naturalWidth && image.complete && !/\.svg(\?|$)/.test(image.src)) { doc.getElementById('trouble').hidden = false; } }, 0); }
  lay();
}());
