/* Where the members of the ABI's structs are, as the C compiler has them: what other languages must find too. */
#include <stdio.h>

#include "bpos.h"

#define SIZE(type) printf(#type " %zu\n", sizeof(type))
#define MEMBER(type, member) printf(#type "." #member " %zu\n", offsetof(type, member))

int main(void) {
    SIZE(bpos_error);
    MEMBER(bpos_error, size);
    MEMBER(bpos_error, code);
    MEMBER(bpos_error, message);
    MEMBER(bpos_error, line);
    MEMBER(bpos_error, column);
    MEMBER(bpos_error, in_file);
    SIZE(bpos_buffer);
    MEMBER(bpos_buffer, data);
    MEMBER(bpos_buffer, len);
    SIZE(bpos_decision);
    MEMBER(bpos_decision, size);
    MEMBER(bpos_decision, status);
    MEMBER(bpos_decision, reason);
    MEMBER(bpos_decision, required_scope);
    MEMBER(bpos_decision, limit);
    MEMBER(bpos_decision, remaining);
    MEMBER(bpos_decision, retry_after_s);
    MEMBER(bpos_decision, reset_s);
    MEMBER(bpos_decision, test_mode);
    MEMBER(bpos_decision, reserved);
    MEMBER(bpos_decision, key_id);
    MEMBER(bpos_decision, store);
    MEMBER(bpos_decision, scope);
    return 0;
}
