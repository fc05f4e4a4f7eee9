// The page: who is signed in, where one is, and the screen for it.

import { closeDialogs, confirm } from './dialog.js';
import { add, button, empty, failed, fill, find, h, link, say, set } from './dom.js';
import { isDirty } from './form.js';
import { here, takeCode, to } from './router.js';
import * as edit from './screens/edit.js';
import * as events from './screens/events.js';
import * as key from './screens/key.js';
import * as keys from './screens/keys.js';
import * as overview from './screens/overview.js';
import * as roles from './screens/roles.js';
import * as sessions from './screens/sessions.js';
import { signInDialog, signInScreen } from './screens/sign_in.js';
import * as tenants from './screens/tenants.js';
import * as trying from './screens/try.js';
import { can, check, isOwner, mayEndSessions, shows, signIn, signOut, who } from './session.js';

const admin = (permission) => () => !isOwner() && can(permission);
const SCREENS = {
	// The address names one of these, and nothing that every object has.
	__proto__: null,
	overview: [overview, admin('keys:read')],
	keys: [keys, () => can('keys:read')],
	create: [{ title: edit.title, show: edit.create }, () => can('keys:create')],
	events: [events, admin('events:read')],
	roles: [roles, admin('roles:manage')],
	tenants: [tenants, admin('tenants:manage')],
	try: [trying, admin('keys:verify')],
	sessions: [sessions, mayEndSessions],
};

const view = find('#main');
let leaving = new AbortController();
let [place, update] = [null, null];

function show(anew) {
	const { path, query } = here();
	if (!path[0]) path[0] = Object.keys(SCREENS).find((name) => SCREENS[name][1]());
	const now = JSON.stringify(path);
	fill(find('#nav'), links(path[0]));
	if (!anew && now === place && update) return update(query);
	leaving.abort();
	leaving = new AbortController();
	closeDialogs();
	const [moved, first] = [now !== place, place === null];
	if (moved && !first) scrollTo(0, 0);
	place = now;
	fill(view);
	const [, id, verb] = path;
	const [screen, may] = path[0] === 'keys' && id ? [verb === 'edit' ? { title: 'Change a key', show: edit.change } : key] : (SCREENS[path[0]] ?? []);
	const there = screen && may?.() !== false;
	document.title = `${there ? screen.title : 'Not here'} – API keys`;
	if (there) update = screen.show(view, { path, query, signal: leaving.signal, again: () => show(true) });
	else add(view, h('h1', 'Not here'), empty('There is nothing at this address', 'Or you may not see it.', link('To the keys', to('keys'))));
	if (!first) set(view.querySelector('h1') ?? view, { tabindex: -1 }).focus({ preventScroll: true });
}

const links = (current) =>
	Object.entries(SCREENS).filter(([, [, may]]) => may()).map(([name, [{ title }]]) =>
		h('a', { href: to(name), 'aria-current': name === current && 'page' }, title));

shows.changed = (other) => {
	document.body.classList.toggle('out', !who);
	fill(find('#who'), who && [h('span.name', { title: who.name }, who.name), !isOwner() && button('Sign out', signOut, 'small')]);
	if (!who) {
		leaving.abort();
		[place, update] = [null, null];
		say('');
	} else if (other && !isDirty()) show(true);
};
shows.dialog = signInDialog;
shows.screen = (more) => {
	closeDialogs();
	signInScreen({ ...more, done: () => show(true) });
};

async function enter(code) {
	try {
		if (code) await signIn({ code });
		const problem = code ? null : await check();
		if (problem) shows.screen({ methods: problem.sign_in });
		else show(true);
	} catch (problem) {
		if (code) shows.screen({ text: `The link did not work. ${problem.detail} Run apikey console for another.` });
		else fill(view, failed(problem, enter));
	}
}

let before = location.hash;
addEventListener('hashchange', async () => {
	const code = takeCode();
	if (code) return enter(code);
	if (!who) return;
	const wanted = location.hash;
	if (isDirty() && JSON.stringify(here().path) !== place) {
		history.replaceState(null, '', before || '#/');
		const leave = await confirm('Leave this form?', { fields: h('p', 'What you typed is not saved.'), action: 'Leave', act: () => true });
		if (!leave) return;
		document.querySelectorAll('form[data-dirty]').forEach((form) => delete form.dataset.dirty);
		location.hash = wanted;
		return;
	}
	before = wanted;
	show();
});
addEventListener('beforeunload', (event) => isDirty() && event.preventDefault());

const menu = find('#menu');
const open = (open) => set(menu, { 'aria-expanded': String(open) });
menu.addEventListener('click', () => open(menu.getAttribute('aria-expanded') !== 'true'));
find('#nav').addEventListener('click', () => open(false));
find('#skip').addEventListener('click', (event) => {
	// The fragment says where one is, so the link must not change it.
	event.preventDefault();
	view.focus();
});

enter(takeCode());
