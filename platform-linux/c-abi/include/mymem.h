/* mymem.h - the name under which existing programs include mem.h. */
#include "mem.h"
