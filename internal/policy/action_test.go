package policy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// However many actions are asked about, by however many at once, each is decided by
// the statements that are about it, and what is remembered is bounded.
func TestActionsAreRememberedWithinBounds(t *testing.T) {
	t.Parallel()
	p, err := Parse(`{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*7", "Resource": "*"},
		{"Effect": "Deny", "NotAction": "ecr:*", "Resource": "*"}, {"Effect": "Allow", "Action": ["ECR:put*"], "Resource": "*"}]}`, Options{Kind: Identity})
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]string{"ecr:PutImage": "[2]", "ecr:putimage7": "[0 2]", "s3:GetObject7": "[1]", "ecr:" + strings.Repeat("x", maxAction): "[]"}
	for i := range 2 * maxActions {
		actions[fmt.Sprintf("ecr:a%d0", i)] = "[]"
		actions[fmt.Sprintf("ecr:b%d7", i)] = "[0]"
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2 {
				for action, want := range actions {
					var indexes []int32
					for _, c := range p.about(action) {
						indexes = append(indexes, c.index)
					}
					if got := fmt.Sprint(indexes); got != want {
						t.Errorf("statements about %s: %s, want %s", action, got, want)
					}
				}
			}
		})
	}
	all.Wait()
	known := *p.actions.known.Load()
	if n := len(known); n != maxActions {
		t.Errorf("%d actions are remembered, want %d", n, maxActions)
	}
	for action := range known {
		if len(action) > maxAction {
			t.Errorf("an action of %d bytes is remembered", len(action))
		}
	}
}
