/* Courseware on its own origin: begin again, and what to do when it stays white. ES5. */
(function () {
  'use strict';
  var doc = document, frame = doc.getElementById('frame'), help = doc.getElementById('help'), lesson = window.lesson;
  if (!frame || !lesson) { return; }
  lesson.actions.again = function () {
    help.hidden = true;
    frame.src = frame.getAttribute('src');
  };
  lesson.actions.help = function () { help.hidden = !help.hidden; };
  /* what was pushed away by a key or a form inside has no way back to the keys of a clicker */
  lesson.on(frame, 'load', function () { if (lesson.marked('filling')) { frame.focus(); } });
}());
