'use strict';
(() => {
  const every = 3000;
  const patience = 4000;
  const silence = document.getElementById('silence');
  let answered = Date.now();
  let asking = false;
  let said = '';

  // A text that has not changed is not said again, or a screen reader would never be silent.
  const say = (text) => {
    if (text === said) return;
    said = text;
    silence.textContent = text;
    silence.hidden = text === '';
    document.documentElement.classList.toggle('silent', text !== '');
    if (text !== '') document.title = 'NO ANSWER – azul-backup';
  };

  const silent = (why) => {
    const taken = document.getElementById('all').dataset.taken;
    say('No answer since ' + taken + ' (' + why + '). Everything below is as it was then.');
  };

  // Sections that are the same stay, with what somebody has opened, marked or scrolled in them.
  const show = (fresh) => {
    const there = document.getElementById('all');
    const names = (main) => Array.from(main.children, (part) => part.id).join();
    there.dataset.taken = fresh.dataset.taken;
    if (names(there) !== names(fresh)) {
      there.replaceChildren(...fresh.children);
      return;
    }
    for (const part of Array.from(fresh.children)) {
      const old = document.getElementById(part.id);
      for (const details of part.querySelectorAll('details[id]')) {
        const before = old.querySelector('details[id="' + details.id + '"]');
        if (before) details.open = before.open;
      }
      if (old.outerHTML === part.outerHTML) continue;
      const scrolled = Array.from(old.querySelectorAll('.scroll'), (area) => area.scrollLeft);
      const focused = Array.from(old.querySelectorAll('.scroll')).indexOf(document.activeElement);
      old.replaceWith(part);
      part.querySelectorAll('.scroll').forEach((area, at) => {
        area.scrollLeft = scrolled[at] || 0;
        if (at === focused) area.focus({ preventScroll: true });
      });
    }
  };

  const ask = async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(patience) });
      const text = await answer.text();
      if (!answer.ok) {
        silent('it answers, but without figures: ' + text.trim());
        return;
      }
      const fresh = new DOMParser().parseFromString(text, 'text/html');
      const main = fresh.getElementById('all');
      if (!main) {
        silent('something else answers');
        return;
      }
      if (fresh.documentElement.dataset.version !== document.documentElement.dataset.version) {
        location.reload();
        return;
      }
      show(main);
      say('');
      document.title = fresh.title;
      answered = Date.now();
    } catch (error) {
      silent('the program, or the way to it, is gone');
    } finally {
      asking = false;
    }
  };

  // A page that slept must not look fresh when somebody comes back to it.
  const look = () => {
    if (Date.now() - answered > every + patience + 1000) silent('nothing came for a while');
    ask();
  };
  setInterval(look, every);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
})();
