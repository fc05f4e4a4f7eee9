// Roles.

import { segment, send } from '../api.js';
import { chips, name, sub, when } from '../table.js';
import { confirm } from '../dialog.js';
import { h, link, notice } from '../dom.js';
import { grants, readGrants } from '../fields.js';
import { field, input } from '../form.js';
import { to } from '../router.js';
import { named } from './named.js';

export const title = 'Roles';

export const show = (view, place) =>
	named(view, place, {
		kind: 'role',
		title,
		nothing: 'A role gives many keys the same permissions, and changes them all at once.',
		columns: [
			['Role', (one) => [name(one.name), sub(one.description)]],
			['Gives', (one) => chips(one.permissions, 'Nothing')],
			['Changed', (one) => when(one.changed_at), 'when'],
		],
		fields: (role, offered) => [
			field('description', 'What it is for', input({ maxlength: 256, value: role?.description ?? '' })),
			grants(offered, role?.permissions),
			role && notice('warn', 'Every key with this role has the change at once.'),
		],
		read: (data) => ({ permissions: readGrants(data), description: data.get('description').trim() || null }),
		others: (role, act) => [act('Delete', () => remove(role.name), role.name), link('Keys', to('keys', [['role', role.name]]), 'button.small')],
	});

const remove = (name) =>
	confirm(`Delete the role ${name}?`, {
		fields: h('p', 'Only a role that no key has can be deleted.'),
		action: 'Delete the role',
		act: () => send('DELETE', `roles/${segment(name)}`, undefined, `${name} is deleted.`),
	});
