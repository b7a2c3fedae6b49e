/* A week on paper: the print button. ES5, no library. */
(function () {
  'use strict';
  var buttons = document.querySelectorAll('[data-do=print]'), i;
  document.documentElement.className += ' js';
  for (i = 0; i < buttons.length; i += 1) {
    buttons[i].addEventListener('click', function () { window.print(); }, false);
  }
}());
