// Revoking all keys that filters select.

import { get, send } from './api.js';
import { which } from './actions.js';
import { confirm, dialog } from './dialog.js';
import { button, failed, fill, h, say } from './dom.js';
import { asBody, inWords } from './filters.js';
import { field, input, invalid, reason, texts } from './form.js';
import { count } from './words.js';

const MAX = 10_000;

export async function revokeAll(filters, after) {
	const found = await dialog('Counting the keys', (close) => {
		const place = h('p', { 'aria-live': 'polite' });
		const stop = new AbortController();
		counted(filters, stop.signal, (n) => fill(place, `${count(n, 'key')} so far`)).then(close, (problem) => fill(place, failed(problem)));
		return [place, h('div.actions', button('Cancel', () => { stop.abort(); close(); }))];
	});
	if (!found) return;
	const { total, first } = found;
	if (!total) return say('None of these keys is left to revoke.');
	if (total > MAX) return say(`More than ${count(MAX, 'key')}. Narrow the filters.`);
	const keys = count(total, 'key');
	const done = await confirm(`Revoke ${keys}?`, {
		fields: [
			h('p', `Every key with ${inWords(filters)}. Requests with them are refused from now on. This cannot be undone.`),
			h('ul.which', first.map((key) => h('li', which(key))), total > first.length && h('li.quiet', `and ${(total - first.length).toLocaleString()} more`)),
			reason(),
			field('expect', `Type ${total} to confirm`, input({ inputmode: 'numeric' })),
		],
		action: `Revoke ${keys}`,
		act: (data) => {
			if (data.get('expect').trim() !== String(total)) throw invalid('expect', `Type ${total}, the number of keys.`);
			return send('POST', 'keys/revoke', { filter: asBody(filters), expect: total, ...texts(data, 'reason') }, `${keys} revoked.`);
		},
	});
	if (done) after();
}

async function counted(filters, signal, tell) {
	const query = new URLSearchParams([...filters, ['limit', '1000']]);
	let total = 0;
	const first = [];
	for (;;) {
		const { keys, next } = await get('keys', query, signal);
		const left = keys.filter((key) => !key.revoked);
		total += left.length;
		first.push(...left.slice(0, 5 - first.length));
		tell(total);
		if (!next || total > MAX) return { total, first };
		query.set('cursor', next);
	}
}
