package aws

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"

	"berth/internal/fault"
)

// readModel returns the model of a front.
func readModel(t testing.TB, file string) *Model {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseModel(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ecrModel(t testing.TB) *Model { return readModel(t, "ecr/model.json") }

// An sdkOperation is an operation as the SDK has it.
type sdkOperation struct {
	name          string
	input, output reflect.Type // structures
}

// ecrOperations returns the operations of the SDK's ECR client.
func ecrOperations() []sdkOperation {
	var all []sdkOperation
	client := reflect.TypeFor[*ecr.Client]()
	for i := range client.NumMethod() {
		m := client.Method(i)
		if m.Type.NumIn() == 4 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
			all = append(all, sdkOperation{m.Name, m.Type.In(2).Elem(), m.Type.Out(0).Elem()})
		}
	}
	return all
}

func newValue(t reflect.Type) smithy.Serializable {
	return reflect.New(t).Interface().(smithy.Serializable)
}

// wantFault fails the test unless err is a fault with the code whose message
// contains the text.
func wantFault(t *testing.T, err error, code, text string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("error = %v, want %s", err, code)
	}
	if f.Code != code || !strings.Contains(f.Message, text) {
		t.Errorf("error = %s: %s, want %s with %q", f.Code, f.Message, code, text)
	}
}
