/* Sends files of the form in pieces, shows how far, goes on after an interruption. Without it the form sends them whole. */
(function () {
  'use strict';
  var form = document.getElementById('add');
  if (!form || !window.FormData || !window.File || !File.prototype.slice || !form.querySelector) return;
  var input = form.querySelector('input[type=file]'), list = document.getElementById('sending');
  var button = form.querySelector('button[type=submit]'), sending = false;
  var PIECE = 2 * 1024 * 1024, WAIT = 1500, LONGEST = 20000;

  /* 64 bits of FNV-1a, as 16 hex digits: the same file of the same lesson goes on where it stood. */
  function identity(text) {
    var a = 0x811c9dc5, b = 0x01000193, i;
    for (i = 0; i < text.length; i += 1) {
      a = times(a ^ text.charCodeAt(i));
      b = times(b ^ text.charCodeAt(text.length - 1 - i));
    }
    return ('0000000' + (a >>> 0).toString(16)).slice(-8) + ('0000000' + (b >>> 0).toString(16)).slice(-8);
  }
  function times(x) {
    var low = x & 0xffff, high = x >>> 16;
    return (low * 0x193 + (((high * 0x193) & 0xffff) << 16) + ((low & 0xff) << 24)) | 0;
  }
  function size(n) {
    return n < 1e6 ? Math.max(1, Math.round(n / 1e3)) + ' kB' : n < 1e9 ? (n / 1e6).toFixed(1) + ' MB' : (n / 1e9).toFixed(2) + ' GB';
  }
  function Line(file) {
    var item = document.createElement('li'), what = document.createElement('div'), name = document.createElement('b');
    this.bar = document.createElement('progress');
    this.far = document.createElement('span');
    what.className = 'what';
    this.far.className = 'mute num';
    name.appendChild(document.createTextNode(file.name));
    what.appendChild(name);
    what.appendChild(this.far);
    item.appendChild(what);
    item.appendChild(this.bar);
    this.bar.max = file.size || 1;
    this.bar.setAttribute('aria-label', file.name);
    list.appendChild(item);
  }
  Line.prototype.say = function (text, value) {
    this.far.textContent = text;
    if (value !== undefined) this.bar.value = value;
  };

  function ask(method, url, body, moved, done) {
    var xhr = new XMLHttpRequest();
    xhr.open(method, url);
    xhr.setRequestHeader('X-Secret', form.querySelector('[name=secret]').value);
    if (body) xhr.setRequestHeader('Content-Type', 'application/octet-stream');
    if (xhr.upload && moved) xhr.upload.onprogress = function (e) { moved(e.loaded); };
    xhr.onload = function () {
      var told = {};
      try { told = JSON.parse(xhr.responseText); } catch (e) { told = {}; }
      done(xhr.status, told);
    };
    xhr.onerror = xhr.onabort = xhr.ontimeout = function () { done(0, {}); };
    xhr.send(body || null);
  }

  /* The PIN was entered again, perhaps in another tab: its forms carry another secret, which this page fetches of itself. */
  function renew(then) {
    var xhr = new XMLHttpRequest();
    xhr.open('GET', location.href.split('#')[0]);
    xhr.onload = function () {
      var found = /name="secret" value="([^"]+)"/.exec(xhr.responseText), fields = document.querySelectorAll('[name=secret]'), i;
      for (i = 0; found && i < fields.length; i += 1) fields[i].value = found[1];
      then();
    };
    xhr.onerror = xhr.onabort = xhr.ontimeout = then;
    xhr.send();
  }

  function send(file, done) {
    var upload = identity(form.getAttribute('data-lesson') + '/' + file.name + '/' + file.size + '/' + (file.lastModified || Number(file.lastModifiedDate) || 0));
    var url = form.getAttribute('data-to') + upload, line = new Line(file), wait = WAIT;
    function again(text, first) {
      line.say(text);
      setTimeout(function () { if (first) first(look); else look(); }, wait);
      wait = Math.min(LONGEST, wait * 2);
    }
    function judge(status, told) {
      if (status === 200 && typeof told.at === 'number') {
        wait = WAIT;
        if (told.whole) {
          line.bar.className = 'done';
          line.say(form.getAttribute('data-done'), file.size);
          done(upload, file.name);
        } else piece(told.at);
      } else if (status === 403) again(form.getAttribute('data-pin'), renew);
      else if (status === 507) again(form.getAttribute('data-full'));
      else if (status === 400 && told.error) { line.say(told.error.message); done('', ''); }
      else again(form.getAttribute('data-again'));
    }
    function look() { ask('GET', url, null, null, judge); }
    function piece(at) {
      line.say(size(at) + ' / ' + size(file.size), at);
      ask('POST', url + '?at=' + at + '&size=' + file.size, file.slice(at, Math.min(file.size, at + PIECE)), function (n) {
        line.say(size(at + n) + ' / ' + size(file.size), at + n);
      }, judge);
    }
    look();
  }

  function hold(name, value) {
    var field = document.createElement('input');
    field.type = 'hidden';
    field.name = name;
    field.value = value;
    form.appendChild(field);
  }

  form.addEventListener('submit', function (event) {
    var files = [], i, whole = 0;
    for (i = 0; input.files && i < input.files.length; i += 1) files.push(input.files[i]);
    if (!files.length) return;
    event.preventDefault();
    if (sending) return;
    sending = true;
    button.disabled = true;
    list.hidden = false;
    list.innerHTML = '';
    function next() {
      if (!files.length) {
        sending = false;
        button.disabled = false;
        if (whole) {
          input.disabled = true;
          form.submit();
        }
        return;
      }
      send(files.shift(), function (upload, name) {
        if (upload) {
          whole += 1;
          hold('upload', upload);
          hold('name', name);
        }
        next();
      });
    }
    next();
  });
  window.addEventListener('beforeunload', function (event) {
    if (sending) { event.preventDefault(); event.returnValue = ''; }
  });
}());
