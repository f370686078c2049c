//go:build race

package dirbucket_test

// crashes are how often the power goes in a test: with the race detector it is slow.
const crashes = 3
