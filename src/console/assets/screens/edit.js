// Creating a key, and changing one.

import { once } from '../actions.js';
import { get, request, segment, send } from '../api.js';
import { called } from '../table.js';
import { add, fill, h, link, load, notice } from '../dom.js';
import { form } from '../form.js';
import { compact, keyFields, patch, readKey } from '../key_form.js';
import { go, to } from '../router.js';
import { showSecret } from '../secret.js';
import { can, isOwner, who } from '../session.js';

export const title = 'Create a key';

const offer = (signal) => [get('permissions', [], signal), can('roles:manage') && !isOwner() ? get('roles', [], signal) : {}];

export function create(view, { signal, again }) {
	const area = h('section.card.narrow.waits');
	add(view, h('h1', title), isOwner() && who.max_keys && h('p.quiet', `You may have up to ${who.max_keys} keys.`), area);
	// The same for a repeat, so that one whose answer was lost makes no second key.
	let [headers, last] = [null, ''];
	load(area, Promise.all(offer(signal)), ([offered, { roles }]) =>
		form({
			fields: keyFields(null, offered, roles),
			action: 'Create the key',
			cancel: link('Cancel', to('keys')),
			act: async (data, element) => {
				const body = compact(readKey(data, null, roles));
						const now = JSON.stringify(body);
				if (now !== last) [headers, last] = [once(), now];
				const made = await send('POST', 'keys', body, '', { headers });
				delete element.dataset.dirty;
				await showSecret(`The secret of ${called(made)}`, made.key);
				go(['keys', made.id]);
			},
		}), again);
}

export function change(view, { path: [, id], signal, again }) {
	const [area, heading, path] = [h('section.card.narrow.waits'), h('h1', 'Change a key'), `keys/${segment(id)}`];
	add(view, h('p.crumbs', link('Key', to(['keys', id]), '')), heading, area);
	load(area, Promise.all([request('GET', `api/${path}`, { signal }), ...offer(signal)]), ([{ data: key, tag }, offered, { roles }]) => {
		fill(heading, `${isOwner() ? 'Rename' : 'Change'} ${called(key)}`);
		if (key.revoked) return notice('warn', 'A revoked key cannot be changed.');
		const save = { type: 'application/merge-patch+json', headers: { 'if-match': tag } };
		return form({
			fields: keyFields(key, offered, roles),
			action: 'Save',
			cancel: link('Cancel', to(['keys', id])),
			act: async (data, element) => {
				const changes = patch(key, readKey(data, key, roles));
				if (Object.keys(changes).length) {
					await send('PATCH', path, changes, 'Saved.', save).catch((problem) => {
						if (problem.code === 'precondition_failed') {
							save.headers['if-match'] = '*';
							problem.detail = 'Somebody has changed this key since you opened it. Save again to save your changes all the same.';
						}
						throw problem;
					});
				}
				delete element.dataset.dirty;
				go(['keys', id]);
			},
		});
	}, again);
}
