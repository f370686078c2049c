package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
)

// config returns the SDK's configuration of a client of a server that has printed
// its environment.
func config(env map[string]string) aws.Config {
	endpoint := env["AWS_ENDPOINT_URL"]
	return aws.Config{
		Region: env["AWS_REGION"], BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], ""),
	}
}

// logIn returns a registry password.
func logIn(ctx context.Context, client *ecr.Client) (string, error) {
	out, err := client.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	text, err := base64.StdEncoding.DecodeString(*out.AuthorizationData[0].AuthorizationToken)
	_, password, _ := strings.Cut(string(text), ":")
	return password, err
}
