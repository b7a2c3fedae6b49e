/* Home stays true while nobody touches it: once a minute its clock and covers are fetched again. ES5; the page works without it. */
(function () {
  'use strict';
  var doc = document, names = ['now', 'grades'], asking = false;
  if (!window.XMLHttpRequest || !window.DOMParser) { return; }
  function put(text) {
    var made = new DOMParser().parseFromString(text, 'text/html'), n, old, fresh;
    var box = doc.querySelector('svg.sprite'), sprite = made.querySelector('svg.sprite');
    for (n = 0; n < names.length; n += 1) { if (!made.getElementById(names[n])) { return; } }
    for (n = 0; n < names.length; n += 1) {
      old = doc.getElementById(names[n]);
      fresh = made.getElementById(names[n]);
      if (old.innerHTML !== fresh.innerHTML && !old.contains(doc.activeElement)) {
        old.parentNode.replaceChild(doc.importNode(fresh, true), old);
      }
    }
    if (box && sprite) { box.parentNode.replaceChild(doc.importNode(sprite, true), box); }
  }
  function ask() {
    var http;
    if (doc.hidden || asking) { return; }
    asking = true;
    http = new XMLHttpRequest();
    http.open('GET', location.href, true);
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      asking = false;
      if (http.status === 200) { put(http.responseText); }
    };
    http.send();
  }
  setInterval(ask, 60000);
  doc.addEventListener('visibilitychange', ask, false);
}());
