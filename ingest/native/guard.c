// A call from which a panic returns as -1 instead of ending the process.
#include <setjmp.h>
#include <stdlib.h>

static _Thread_local jmp_buf *escape;

int guard_call(int (*call)(void *), void *context) {
  jmp_buf here, *outer = escape;
  int result = -1;
  escape = &here;
  if (setjmp(here) == 0) result = call(context);
  escape = outer;
  return result;
}

_Noreturn void guard_escape(void) {
  if (escape) longjmp(*escape, 1);
  abort();
}
