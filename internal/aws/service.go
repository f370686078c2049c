// Package aws speaks the server's side of the AWS protocols: JSON 1.1, and Query
// with its XML.
//
// A front is a package for one AWS service. It has a method per operation whose
// input and output are the types of aws-sdk-go-v2, and lists them in a table:
//
//	aws.Service[access.Caller]{
//		Name:         "ecr",
//		Protocol:     aws.JSON,
//		TargetPrefix: "AmazonEC2ContainerRegistry_V20150921",
//		Model:        model,
//		Operations: []aws.Operation[access.Caller]{
//			aws.Op("CreateRepository", a.CreateRepository),
//			aws.Op("PutImage", a.PutImage).WithMaxBody(16 << 20),
//			{Name: "StartReplicationBackfill", Refused: "a new rule replicates what is there by itself"},
//		},
//	}
//
// The [Handler] finds the operation that a request is for, has the request
// authenticated, decodes it strictly, holds it against the constraints of the
// service's model, and renders the output or the error.
package aws

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"
)

// Protocol is the form in which a service takes requests and answers them.
type Protocol int

// The protocols.
const (
	JSON  Protocol = iota // AWS JSON 1.1: the operation is in X-Amz-Target
	Query                 // AWS Query: the operation is a form's Action, answers are XML
)

// Service is the table of one AWS service. C is what the assembly knows of a
// caller; this package hands it from authentication to the operation.
type Service[C any] struct {
	// Name is the name that the service has in the scope of signatures: "ecr".
	Name     string
	Protocol Protocol
	// TargetPrefix is what stands before the dot in X-Amz-Target. JSON only.
	TargetPrefix string
	// ErrorMember is the member of exceptions that holds the message; "message"
	// if empty. JSON only.
	ErrorMember string
	// Version is the API version that requests name, and Namespace the XML
	// namespace of answers. Query only.
	Version   string
	Namespace string
	// Model has the constraints on inputs. Operations that are not in it have
	// none. It may be nil.
	Model      *Model
	Operations []Operation[C]
}

// Operation is one operation of a service: either one made by [Op], or one that
// is known but refused.
type Operation[C any] struct {
	// Name is the operation's name in the API.
	Name string
	// Refused says why Berth does not have the operation. Callers get an
	// UnsupportedCommandException that ends with it.
	Refused string

	maxBody    int64
	unsigned   bool
	result     bool // the answer has a result even if it has no members
	hasSchemas bool // input and output describe themselves, as JSON needs
	input      func() any
	call       func(context.Context, C, any) (any, error)
}

// Op returns the operation that fn performs. I and O are the SDK's input and
// output of the operation. A nil output without an error counts as an empty
// one.
func Op[C, I, O any](name string, fn func(context.Context, C, *I) (*O, error)) Operation[C] {
	_, in := any(new(I)).(smithy.Serializable)
	_, out := any(new(O)).(smithy.Serializable)
	return Operation[C]{
		Name:       name,
		maxBody:    defaultMaxBody,
		hasSchemas: in && out,
		input:      func() any { return new(I) },
		call: func(ctx context.Context, caller C, in any) (any, error) {
			out, err := fn(ctx, caller, in.(*I))
			if err == nil && out == nil {
				out = new(O)
			}
			return out, err
		},
	}
}

// WithMaxBody returns the operation with another limit on the size of request
// bodies than the usual 1 MiB. It has no effect in Query services.
func (o Operation[C]) WithMaxBody(n int64) Operation[C] {
	o.maxBody = n
	return o
}

// WithoutSignature returns the operation open to requests that are not signed.
// Every other operation refuses them before it reads their body, or in Query
// services their parameters.
func (o Operation[C]) WithoutSignature() Operation[C] {
	o.unsigned = true
	return o
}

// WithResult returns the operation with an answer that has a result although that
// has no members. Query only.
func (o Operation[C]) WithResult() Operation[C] {
	o.result = true
	return o
}

func (s *Service[C]) operation(name string) *Operation[C] {
	for i := range s.Operations {
		if s.Operations[i].Name == name {
			return &s.Operations[i]
		}
	}
	return nil
}

// internalCode is the code for faults of ours: ECR's own exception where the
// service declares it.
func (s *Service[C]) internalCode() string {
	if s.Model != nil {
		for name := range s.Model.operations {
			if s.Model.declares(name, "ServerException") {
				return "ServerException"
			}
		}
	}
	return "InternalFailure"
}

// validate finds the mistakes of whoever wrote the table.
func (s *Service[C]) validate() error {
	if s.Name == "" {
		return errors.New("a service has no name")
	}
	if (s.Protocol == JSON) != (s.TargetPrefix != "") || (s.Protocol == Query) != (s.Version != "") {
		return fmt.Errorf("service %s: a JSON service has a target prefix, a Query service a version", s.Name)
	}
	seen := make(map[string]bool)
	for _, op := range s.Operations {
		if op.Name == "" || seen[op.Name] {
			return fmt.Errorf("service %s: operation %q is there twice or has no name", s.Name, op.Name)
		}
		seen[op.Name] = true
		if (op.call == nil) == (op.Refused == "") {
			return fmt.Errorf("service %s: operation %s is neither made by Op nor refused", s.Name, op.Name)
		}
		if s.Protocol == JSON && op.call != nil && !op.hasSchemas {
			return fmt.Errorf("service %s: the SDK has no schemas for operation %s", s.Name, op.Name)
		}
	}
	return nil
}
