// Who is signed in. The token is in a cookie that no script can read; nothing is stored.

import { BASE, Problem, gate, request } from './api.js';
import { isDirty } from './form.js';
import { gives } from './words.js';

export let who = null;

export const shows = {};

export const can = (permission) => who !== null && gives(who.permissions, permission);
export const isOwner = () => who?.kind === 'owner';
export const mayEndSessions = () => !isOwner() && !who.tenant && who.permissions.includes('*');

// Only that somebody has signed out: the other tabs show nothing more then.
const tabs = new BroadcastChannel(`apikey console ${BASE.pathname}`);
tabs.onmessage = () => who && ended('You have signed out in another tab.');

export async function check() {
	try {
		become((await request('GET', 'session')).data);
	} catch (problem) {
		if (problem.status === 401) return problem;
		throw problem;
	}
}

export const signIn = async (by, again) => become((await request('POST', again ? 'session/confirm' : 'session', { body: by })).data);

export async function signOut() {
	await request('DELETE', 'session').catch((problem) => {
		if (problem.status !== 401) throw problem;
	});
	tabs.postMessage('');
	become(null);
	shows.screen({ title: 'You are signed out' });
}

const isOther = (session) => session && who && (session.kind !== who.kind || session.name !== who.name);
let away;

function become(session) {
	const other = isOther(session);
	who = session;
	shows.changed(other);
	watch();
}

// Asks again when the session may have ended, which does not keep it alive; nothing stays on the screen then.
function watch() {
	clearTimeout(away);
	if (who?.idle_ms) away = setTimeout(look, Math.min(who.idle_ms, new Date(who.ends_at) - Date.now()) + 1000);
}

async function look() {
	const problem = await check();
	if (problem) ended(problem.detail, problem.sign_in);
}

let asking = null;
const ask = (more) => (asking ??= shows.dialog(more).finally(() => (asking = null)));

// Shows that the session has ended, in a dialog while something would be lost.
function ended(text, methods, changes) {
	if (changes || isDirty()) return ask({ title: 'Sign in to go on', text, methods });
	become(null);
	shows.screen({ text, methods });
	return null;
}

gate.signIn = async (problem, changes) => {
	const before = who;
	const again = problem.code === 'sign_in_again';
	const signedIn = await (again ? ask({ title: 'Sign in again', again }) : ended(problem.detail, problem.sign_in, changes));
	if (signedIn === null) throw new DOMException('signed out', 'AbortError');
	if (!signedIn) throw new Problem(0, { detail: 'Nothing was done, since you did not sign in.' });
	if (before && isOther(before)) throw new Problem(0, { detail: `Nothing was done yet: try again to do it as ${who.name}.` });
};
