// Requests to the service.

import { button, fill, find, say } from './dom.js';

export const BASE = new URL('../', import.meta.url);

export class Problem extends Error {
	constructor(status, body) {
		super(body.detail);
		Object.assign(this, { status, errors: [], detail: body.title ?? `The service answered ${status}.` }, body);
	}
}

// How somebody signs in: `session.js` sets it.
export const gate = {};

const isJson = (answer) => /json/.test(answer.headers.get('content-type'));

const isOwn = (answer) => answer.status < 502 || isJson(answer);

let waiting = null;

// Ends when the service answers again.
const answers = () => (waiting ??= attempts().finally(() => (waiting = null)));

async function attempts() {
	const banner = find('#service');
	let now;
	fill(banner, 'The service does not answer. The page tries again, and comes back by itself.', button('Try now', () => now(), 'small'));
	banner.hidden = false;
	for (let seconds = 1; ; seconds = Math.min(seconds * 2, 30)) {
		await new Promise((done) => {
			now = done;
			setTimeout(done, seconds * 1000);
		});
		const answer = await fetch(new URL('session', BASE), { cache: 'no-store' }).catch(() => null);
		if (answer && isOwn(answer)) break;
	}
	banner.hidden = true;
}

// Sends a request, again after a sign-in, and one that reads again once the service is back: others may have been done.
export async function request(method, path, { query = [], body, headers, signal, type = 'application/json' } = {}) {
	const url = new URL(path, BASE);
	for (const [name, value] of query) url.searchParams.append(name, value);
	const sent = { method, headers: { ...headers, ...(body && { 'content-type': type }) }, body: body && JSON.stringify(body), signal, cache: 'no-store' };
	for (;;) {
		const answer = await fetch(url, sent).catch(() => null);
		const data = answer && (await json(answer));
		signal?.throwIfAborted();
		if (!answer || data === undefined || !isOwn(answer)) {
			const back = answers();
			if (method !== 'GET') throw new Problem(0, { detail: 'The service did not answer, so this may or may not be done. Look once it is back, and try again.' });
			await back;
		} else if (answer.ok) return { data, tag: answer.headers.get('etag') };
		else {
			const problem = new Problem(answer.status, data ?? {});
			const asks = problem.status === 401 || problem.code === 'sign_in_again';
			if (!asks || path.startsWith('session')) throw problem;
			await gate.signIn(problem, method !== 'GET');
		}
		signal?.throwIfAborted();
	}
}

// What an answer has; undefined if it does not arrive whole.
const json = async (answer) => (isJson(answer) ? answer.json().catch(() => undefined) : null);

export const get = async (path, query, signal) => (await request('GET', `api/${path}`, { query, signal })).data;

export async function send(method, path, body, done, more) {
	const { data } = await request(method, `api/${path}`, { body, ...more });
	const { outstanding, everywhere_by: by } = data ?? {};
	const late = outstanding ? ` Not yet on ${outstanding.join(', ')}; everywhere by ${new Date(by).toLocaleTimeString()}.` : '';
	if (done || late) say((done ?? 'In force here.') + late);
	return data ?? true;
}

export const segment = encodeURIComponent;
