// What is to be undone after a test. node:test stops at the first `after` that
// fails; here each is run, the last first, and the first failure is told.
const lists = new WeakMap();

export function afterwards(t, undo) {
  if (!lists.has(t)) {
    lists.set(t, []);
    t.after(() => undoAll(lists.get(t)));
  }
  lists.get(t).push(undo);
}

async function undoAll(list) {
  let failure;
  for (const undo of list.reverse()) {
    try {
      await undo();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure) throw failure;
}
