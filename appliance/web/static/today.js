/* Home stays true while nobody touches it: once a minute it is asked for again, and what changed is put in its place. ES5; the page works without it. */
(function () {
  'use strict';
  var doc = document, asking = false, mark = null;
  if (!window.XMLHttpRequest || !window.DOMParser) { return; }
  function parts(page) {
    var list = [page.getElementById('now')], all = page.getElementById('main'), n;
    for (n = 0; all && n < all.children.length; n += 1) { list.push(all.children[n]); }
    return list;
  }
  function ids(list) {
    var n, text = '';
    for (n = 0; n < list.length; n += 1) { text += (list[n] ? list[n].id : '') + ' '; }
    return text;
  }
  function same(part, held) {
    var list = part.querySelectorAll('a,button'), to = held.getAttribute('href'), n;
    for (n = 0; n < list.length; n += 1) {
      if (to ? list[n].getAttribute('href') === to : held.form && list[n].form && list[n].value === held.value && list[n].form.innerHTML === held.form.innerHTML) { return list[n]; }
    }
    return null;
  }
  /* Whether it stands as it should; what somebody is about to use stays until then. */
  function swap(old, fresh) {
    var held = old.contains(doc.activeElement) ? doc.activeElement : null, again = null;
    if (old.innerHTML === fresh.innerHTML && old.className === fresh.className) { return true; }
    if (old.querySelector(':active')) { return false; }
    fresh = doc.importNode(fresh, true);
    if (held) {
      again = same(fresh, held);
      if (!again) { return false; }
    }
    old.parentNode.replaceChild(fresh, old);
    if (again) { again.focus(); }
    return true;
  }
  function put(text) {
    var made = new DOMParser().parseFromString(text, 'text/html'), olds = parts(doc), news = parts(made), n, all = true, box, sprite;
    if (!olds[0] || !news[0]) { return false; }
    if (ids(olds) === ids(news)) {
      for (n = 0; n < olds.length; n += 1) { all = swap(olds[n], news[n]) && all; }
    } else {
      all = swap(olds[0], news[0]) && swap(doc.getElementById('main'), made.getElementById('main'));
    }
    box = doc.querySelector('svg.sprite');
    sprite = made.querySelector('svg.sprite');
    if (box && sprite) { box.parentNode.replaceChild(doc.importNode(sprite, true), box); } /* nothing in it has the focus, and IE's has no contains() */
    return all;
  }
  function ask() {
    var http;
    if (doc.hidden || asking) { return; }
    asking = true;
    http = new XMLHttpRequest();
    http.open('GET', location.href, true);
    if (mark) { http.setRequestHeader('If-None-Match', mark); }
    http.onreadystatechange = function () {
      if (http.readyState !== 4) { return; }
      asking = false;
      if (http.status === 200) {
        mark = put(http.responseText) ? http.getResponseHeader('ETag') : null;
      }
    };
    http.send();
  }
  setInterval(ask, 60000);
  doc.addEventListener('visibilitychange', ask, false);
}());
