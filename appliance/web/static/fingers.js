/* Fingers, pens and the mouse under the names that browsers gave them, several at once:
   fingers(target, press, drag, release): the first two are called with (name, x, y) in the window, the last with
   (name, cancelled): the browser took the finger away, for scrolling. ES5. */
(function () {
  'use strict';
  var doc = document;
  function on(what, type, run) { what.addEventListener(type, run, false); }
  function each(list, run) { var i; for (i = 0; i < list.length; i += 1) { run(list[i], i); } }
  window.fingers = function (target, press, drag, release) {
    var names = window.PointerEvent ? ['pointerdown', 'pointermove', 'pointerup', 'pointercancel'] :
      window.MSPointerEvent ? ['MSPointerDown', 'MSPointerMove', 'MSPointerUp', 'MSPointerCancel'] : null;
    var held = {};
    function pressed(name, event) {
      held[name] = true;
      press(name, event.clientX, event.clientY);
    }
    function released(event) {
      if (held[event.pointerId]) { delete held[event.pointerId]; release(event.pointerId, /cancel/i.test(event.type)); }
    }
    if (names) {
      on(target, names[0], function (event) {
        if (event.button > 0) { return; }
        event.preventDefault();
        pressed(event.pointerId, event);
      });
      on(doc, names[1], function (event) { if (held[event.pointerId]) { drag(event.pointerId, event.clientX, event.clientY); } });
      on(doc, names[2], released);
      on(doc, names[3], released);
      return;
    }
    on(target, 'touchstart', function (event) {
      event.preventDefault();
      each(event.changedTouches, function (touch) { pressed(touch.identifier, touch); });
    });
    on(target, 'touchmove', function (event) {
      event.preventDefault();
      each(event.changedTouches, function (touch) { drag(touch.identifier, touch.clientX, touch.clientY); });
    });
    each(['touchend', 'touchcancel'], function (type) {
      on(target, type, function (event) {
        each(event.changedTouches, function (touch) { delete held[touch.identifier]; release(touch.identifier, type === 'touchcancel'); });
      });
    });
    on(target, 'mousedown', function (event) { if (!event.button) { event.preventDefault(); pressed('mouse', event); } });
    on(doc, 'mousemove', function (event) { if (held.mouse) { drag('mouse', event.clientX, event.clientY); } });
    on(doc, 'mouseup', function () { if (held.mouse) { delete held.mouse; release('mouse'); } });
  };
}());
