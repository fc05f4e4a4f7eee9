// What is done with one key.

import { segment, send } from './api.js';
import { called } from './table.js';
import { confirm } from './dialog.js';
import { h } from './dom.js';
import { readSpan, spanField } from './fields.js';
import { checks, group, reason, texts } from './form.js';
import { showSecret } from './secret.js';

export const which = (key) => [h('strong', called(key)), h('span.quiet', ` of ${key.owner}${key.tenant ? ` in ${key.tenant}` : ''} · ${key.hint}`)];

// A text that no other request has, so that a repeat of this one does nothing twice.
export const once = () => ({ 'idempotency-key': crypto.getRandomValues(new Uint32Array(4)).join('-') });

const post = (key, what, body, done, more) => send('POST', `keys/${segment(key.id)}/${what}`, body, done, more);

export const revoke = (key) =>
	confirm('Revoke this key?', {
		fields: [h('p.which', which(key)), h('p', 'Every request with it is refused from now on. This cannot be undone.'), reason()],
		action: 'Revoke the key',
		act: (data) => post(key, 'revoke', texts(data, 'reason'), `${called(key)} is revoked.`),
	});

export const toggle = (key) =>
	post(key, key.disabled ? 'enable' : 'disable', undefined, `${called(key)} is ${key.disabled ? 'enabled' : 'disabled'}.`);

export function rotate(key) {
	const headers = once();
	return renewed(key, confirm('Give this key a new secret?', {
		fields: [
			h('p.which', which(key)),
			group('overlap', 'The old secret', checks('radio', 'overlap', [
				['first_use', 'works until the new one is used'],
				['none', 'ends at once'],
				['ms', 'works on for a time'],
			], ['first_use']), spanField('time', 'How long', 86_400_000)),
		],
		action: 'Rotate the key',
		look: 'primary',
		act: (data) => {
			const overlap = data.get('overlap');
			return post(key, 'rotate', { overlap: overlap === 'ms' ? { ms: readSpan(data, 'time') } : overlap }, '', { headers });
		},
	}));
}

export const replace = (key) =>
	renewed(key, confirm('Has the secret leaked?', {
		fields: [h('p.which', which(key)), h('p', 'Every secret of the key ends at once, and it gets a new one.'), reason()],
		action: 'Replace every secret',
		act: (data) => post(key, 'replace', texts(data, 'reason'), ''),
	}));

async function renewed(key, answer) {
	const made = await answer;
	if (made) await showSecret(`The new secret of ${called(key)}`, made.key);
	return made;
}
