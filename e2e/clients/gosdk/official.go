package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// officialClient is the protocol's own Go SDK.
type officialClient struct {
	session *mcp.ClientSession
	told    heard
}

func official(ctx context.Context, p place) (client, error) {
	c := &officialClient{}
	var transport mcp.Transport = &mcp.StreamableClientTransport{Endpoint: p.url, HTTPClient: p.withToken()}
	if p.url == "" {
		cmd := exec.Command(p.command[0], p.command[1:]...)
		cmd.Stderr = os.Stderr
		transport = &mcp.CommandTransport{Command: cmd}
	}
	made := mcp.NewClient(&mcp.Implementation{Name: "go-sdk", Version: "1"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
			c.told.progressed(fmt.Sprint(req.Params.ProgressToken))
		},
		ResourceUpdatedHandler: func(_ context.Context, req *mcp.ResourceUpdatedNotificationRequest) { c.told.update(req.Params.URI) },
	})
	made.AddRoots(&mcp.Root{URI: fileURL(p.outputDir)})
	var err error
	c.session, err = made.Connect(ctx, transport, &mcp.ClientSessionOptions{ProtocolVersion: p.revision})
	return c, err
}

func (c *officialClient) server() (name, instructions, revision string, prompts bool) {
	res := c.session.InitializeResult()
	return res.ServerInfo.Name, res.Instructions, res.ProtocolVersion, res.Capabilities.Prompts != nil
}

func (c *officialClient) tools(ctx context.Context) (names []string, err error) {
	for tool, err := range c.session.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

func (c *officialClient) call(ctx context.Context, tool string, args map[string]any, token string) (result, error) {
	params := &mcp.CallToolParams{Name: tool, Arguments: args}
	if token != "" {
		params.SetProgressToken(token)
	}
	res, err := c.session.CallTool(ctx, params)
	if err != nil {
		return result{}, err
	}
	out := result{isError: res.IsError}
	for _, content := range res.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			out.text += text.Text
		}
	}
	out.structured, _ = res.StructuredContent.(map[string]any)
	return out, nil
}

func (c *officialClient) resources(ctx context.Context) (uris []string, err error) {
	for resource, err := range c.session.Resources(ctx, nil) {
		if err != nil {
			return nil, err
		}
		uris = append(uris, resource.URI)
	}
	return uris, nil
}

func (c *officialClient) templates(ctx context.Context) (uris []string, err error) {
	for template, err := range c.session.ResourceTemplates(ctx, nil) {
		if err != nil {
			return nil, err
		}
		uris = append(uris, template.URITemplate)
	}
	return uris, nil
}

func (c *officialClient) read(ctx context.Context, uri string) (mediaType, text string, err error) {
	res, err := c.session.ReadResource(ctx, &mcp.ReadResourceParams{URI: uri})
	if err != nil {
		return "", "", err
	}
	return res.Contents[0].MIMEType, res.Contents[0].Text, nil
}

func (c *officialClient) complete(ctx context.Context, template, argument, value string) ([]string, error) {
	res, err := c.session.Complete(ctx, &mcp.CompleteParams{
		Ref:      &mcp.CompleteReference{Type: "ref/resource", URI: template},
		Argument: mcp.CompleteParamsArgument{Name: argument, Value: value},
	})
	if err != nil {
		return nil, err
	}
	return res.Completion.Values, nil
}

func (c *officialClient) prompts(ctx context.Context) (prompts []prompt, err error) {
	for p, err := range c.session.Prompts(ctx, nil) {
		if err != nil {
			return nil, err
		}
		found := prompt{name: p.Name}
		for _, argument := range p.Arguments {
			if argument.Required {
				found.required = append(found.required, argument.Name)
			}
		}
		prompts = append(prompts, found)
	}
	return prompts, nil
}

func (c *officialClient) prompt(ctx context.Context, name string, args map[string]string) (int, error) {
	res, err := c.session.GetPrompt(ctx, &mcp.GetPromptParams{Name: name, Arguments: args})
	if err != nil {
		return 0, err
	}
	return len(res.Messages), nil
}

func (c *officialClient) follow(ctx context.Context, uri string) (func() error, error) {
	return func() error {
		return c.session.Unsubscribe(ctx, &mcp.UnsubscribeParams{URI: uri})
	}, c.session.Subscribe(ctx, &mcp.SubscribeParams{URI: uri})
}

func (c *officialClient) heard() *heard                  { return &c.told }
func (c *officialClient) ping(ctx context.Context) error { return c.session.Ping(ctx, nil) }
func (c *officialClient) close() error                   { return c.session.Close() }

func (c *officialClient) code(err error) int {
	var wire *jsonrpc.Error
	if errors.As(err, &wire) {
		return int(wire.Code)
	}
	return 0
}
