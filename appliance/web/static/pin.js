/* The PIN's page: a pad of numbers for a finger, and a wait that is counted down. ES5, no library. */
(function () {
  'use strict';
  var doc = document, keys = doc.getElementById('keys'), field = doc.getElementById('pin');
  var wait = doc.getElementById('wait'), plain = doc.getElementById('plainopen'), left, timer;
  if (keys && field) {
    keys.hidden = false;
    keys.removeAttribute('hidden');
    plain.hidden = true;
    plain.setAttribute('hidden', '');
    keys.addEventListener('click', function (event) {
      var node = event.target, key = null;
      while (node && node !== keys && key === null) {
        key = node.getAttribute ? node.getAttribute('data-key') : null;
        node = node.parentNode;
      }
      if (key === null || field.disabled) { return; }
      field.value = key === 'del' ? field.value.slice(0, -1) : (field.value + key).slice(0, 12);
    }, false);
  }
  if (wait) {
    left = parseInt((/\d+/).exec(wait.firstChild.nodeValue)[0], 10);
    timer = setInterval(function () {
      left -= 1;
      if (left < 0) { clearInterval(timer); return; }
      wait.firstChild.nodeValue = wait.firstChild.nodeValue.replace(/\d+/, String(left));
    }, 1000);
  }
}());
