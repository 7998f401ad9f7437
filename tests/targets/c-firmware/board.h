/* What the board has, and what it runs. */
#ifndef BOARD_H
#define BOARD_H

void say(const char *text);
void fail(const char *what, int line);
int is_locked(void);
void run(void);

#define CHECK(holds) ((holds) ? (void)0 : fail(#holds, __LINE__))

#endif
