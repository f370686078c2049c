package identity

import "time"

// Binding says that a user or a role acts for a service when it assumes roles of
// its account.
type Binding struct {
	Principal Entity
	Service   string // ecs-tasks.amazonaws.com
	CreatedAt time.Time
}

// BindingReader reads bindings.
type BindingReader interface {
	Bindings(account string) ([]Binding, error) // by kind, name and service
	ServicesOf(principal string) ([]string, error)
}

// BindingWriter changes bindings.
type BindingWriter interface {
	PutBinding(principal, service string, at time.Time) error
	DeleteBinding(principal, service string) (bool, error)
}
