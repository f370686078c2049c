//go:build !race

package dirbucket_test

// crashes are how often the power goes in a test.
const crashes = 25
