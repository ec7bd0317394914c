// The pages of the operators' console. Each is its own lazy chunk; adding one is a folder and a line here.
import type { Component } from 'svelte';
import type { Key } from './i18n/index.svelte';
import type { Session } from './api/types';
import type { IconName } from './ui/Icon.svelte';

export interface Page {
  key: string;
  title: Key;
  icon: IconName;
  /** The letter after G that goes there. */
  letter: string;
  load: () => Promise<{ default: Component }>;
  shown?: (session: Session) => boolean;
  /** The permission without which there is nothing to see. */
  needs?: string;
}

export const pages: Page[] = [
  { key: 'desk', title: 'nav.desk', icon: 'desk', letter: 'o', load: () => import('./apps/ops/desk/DeskPage.svelte') },
  { key: 'wall', needs: 'video.read', title: 'nav.wall', icon: 'wall', letter: 'c', load: () => import('./apps/ops/wall/WallPage.svelte') },
  { key: 'devices', title: 'nav.devices', icon: 'devices', letter: 'd', load: () => import('./apps/ops/devices/DevicesPage.svelte') },
  { key: 'replay', needs: 'video.read', title: 'nav.replay', icon: 'replay', letter: 'v', load: () => import('./apps/ops/replay/ReplayPage.svelte') },
  { key: 'events', title: 'nav.events', icon: 'events', letter: 'e', load: () => import('./apps/ops/events/EventsPage.svelte') },
  { key: 'passages', needs: 'access.read', title: 'nav.passages', icon: 'passages', letter: 'p', load: () => import('./apps/ops/passages/PassagesPage.svelte') },
  { key: 'watch', needs: 'access.read', title: 'nav.watch', icon: 'watch', letter: 'k', load: () => import('./apps/ops/watch/WatchPage.svelte') },
  { key: 'access', needs: 'access.read', title: 'nav.access', icon: 'access', letter: 'a', load: () => import('./apps/ops/access/AccessPage.svelte') },
  { key: 'people', needs: 'people.read', title: 'nav.people', icon: 'people', letter: 'r', load: () => import('./apps/ops/people/PeoplePage.svelte') },
  { key: 'faces', needs: 'people.write', title: 'nav.faces', icon: 'faces', letter: 'f', load: () => import('./apps/ops/faces/FacesPage.svelte') },
  { key: 'orders', needs: 'work_order.read', title: 'nav.orders', icon: 'orders', letter: 'w', load: () => import('./apps/ops/orders/OrdersPage.svelte') },
  { key: 'patrol', needs: 'patrol.walk', title: 'nav.patrol', icon: 'patrol', letter: 't', load: () => import('./apps/ops/patrol/PatrolPage.svelte') },
  { key: 'rules', needs: 'rule.read', title: 'nav.rules', icon: 'rules', letter: 'l', load: () => import('./apps/ops/rules/RulesPage.svelte') },
  { key: 'health', needs: 'health.read', title: 'nav.health', icon: 'health', letter: 'h', load: () => import('./apps/ops/health/HealthPage.svelte') },
  { key: 'discover', needs: 'system.operate', title: 'nav.discover', icon: 'search', letter: 'f', load: () => import('./apps/ops/discover/DiscoverPage.svelte') },
  { key: 'integrations', needs: 'health.read', title: 'nav.integrations', icon: 'integrations', letter: 'i', load: () => import('./apps/ops/integrations/IntegrationsPage.svelte') },
  {
    key: 'demo', title: 'nav.demo', icon: 'demo', letter: 'm', load: () => import('./apps/ops/demo/DemoPage.svelte'),
    shown: (s) => s.site.demo, needs: 'demo.play',
  },
  {
    key: 'users', title: 'nav.users', icon: 'users', letter: 'u', load: () => import('./apps/ops/users/UsersPage.svelte'),
    needs: 'user.manage',
  },
];

/** Reached from a person's file, not from the navigation. */
export const enrol: Page = {
  key: 'enrol', title: 'enrol.title', icon: 'faces', letter: '', needs: 'people.write', load: () => import('./apps/ops/enrol/EnrolPage.svelte'),
};

/** Shown beside a door, without the frame. */
export const door: Page = {
  key: 'door', title: 'door.title', icon: 'faces', letter: '', needs: 'screen.read', load: () => import('./apps/door/DoorPage.svelte'),
};

/** Reached from the user menu, not from the navigation. */
export const account: Page = {
  key: 'account', title: 'nav.account', icon: 'user', letter: '', load: () => import('./apps/ops/account/AccountPage.svelte'),
};
