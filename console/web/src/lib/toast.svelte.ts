// Short messages at the bottom of the page, with a way back where there is one.
export interface Toast {
  id: number;
  text: string;
  kind: 'done' | 'error';
  action?: { label: string; run: () => void };
}

class Toasts {
  list = $state<Toast[]>([]);
  private next = 1;

  private add(toast: Omit<Toast, 'id'>, ms: number): void {
    const id = this.next++;
    this.list = [...this.list.slice(-3), { ...toast, id }];
    setTimeout(() => this.drop(id), ms);
  }
  done(text: string, action?: Toast['action']): void {
    this.add({ text, kind: 'done', action }, action ? 10_000 : 4_000);
  }
  error(text: string): void {
    this.add({ text, kind: 'error' }, 8_000);
  }
  drop(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
