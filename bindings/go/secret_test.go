package bpos

import "testing"

func TestAWipedSecretIsOverwritten(t *testing.T) {
	secret := newSecret(plaintext("bpos_abcdEFGH0123456789"), "bpos_abcd")
	memory := **secret.plaintext
	secret.Wipe()
	for i, char := range memory {
		if char != 0 {
			t.Errorf("byte %d is still %q", i, char)
		}
	}
}
