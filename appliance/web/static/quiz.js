/* A tap on a question is a link to the same question as it looks afterwards; the box makes it and its parts are
   put in place here, so that nothing blinks and ink stays. Without this the links do the same. ES5. */
(function () {
  'use strict';
  var doc = document, screen = doc.getElementById('screen'), asked = null;
  if (!window.history.replaceState || !window.DOMParser || !doc.getElementById('next')) { return; }

  function put(made) {
    var names = ['count', 'prev', 'qnos', 'next', 'answer'], held = doc.activeElement, key, again, i, old, fresh;
    var icons = doc.querySelector('svg.sprite'), sprite = made.querySelector('svg.sprite');
    if (icons && sprite) { icons.parentNode.replaceChild(doc.importNode(sprite, true), icons); }
    key = held && held.getAttribute && held.getAttribute('data-k');
    old = made.getElementById('screen');
    screen.innerHTML = old.innerHTML;
    if (screen.getAttribute('data-page') !== old.getAttribute('data-page')) { screen.scrollTop = 0; }
    screen.setAttribute('data-page', old.getAttribute('data-page'));
    for (i = 0; i < names.length; i += 1) {
      old = doc.getElementById(names[i]);
      fresh = doc.importNode(made.getElementById(names[i]), true);
      old.parentNode.replaceChild(fresh, old);
    }
    again = key && doc.querySelector('[data-k="' + key + '"]');
    if (again) { again.focus(); }
    fresh = doc.createEvent('Event');
    fresh.initEvent('board:page', true, false);
    doc.dispatchEvent(fresh);
  }
  function go(href) {
    var http = asked = new XMLHttpRequest();
    http.open('GET', href, true);
    http.onload = function () {
      var made;
      if (http !== asked) { return; }
      made = new DOMParser().parseFromString(http.responseText, 'text/html');
      if (http.status !== 200 || !made.getElementById('next')) { location.href = href; return; }
      history.replaceState(null, '', href);
      put(made);
    };
    http.onerror = function () { location.href = href; };
    http.send();
  }
  doc.addEventListener('click', function (event) {
    var link = event.target;
    if (event.ctrlKey || event.shiftKey || event.metaKey || event.button) { return; }
    while (link && link !== doc && link.nodeName !== 'A') { link = link.parentNode; }
    if (!link || link === doc || !link.getAttribute('data-k')) { return; }
    event.preventDefault();
    go(link.href);
  }, false);
}());
