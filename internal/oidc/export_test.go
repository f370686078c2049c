package oidc

// Wait waits until nothing goes on in the background.
func (v *Verifier) Wait() { v.reloads.Wait() }
