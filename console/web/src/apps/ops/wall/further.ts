// A further window for another monitor: the wall and nothing else, all of it in the address.
import type { Route } from '../../../lib/router.svelte';

export const isFurther = (route: Route): boolean => route.page === 'wall' && route.params.has('window');
