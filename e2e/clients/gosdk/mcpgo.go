package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// mcpgoClient is the client of the library that the server is built with.
type mcpgoClient struct {
	client *mcpclient.Client
	hello  *mcp.InitializeResult
	told   heard
}

// roots is a folder, as the client's only root.
type roots string

func (r roots) ListRoots(context.Context, mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	return &mcp.ListRootsResult{Roots: []mcp.Root{{URI: fileURL(string(r))}}}, nil
}

func mcpgo(ctx context.Context, p place) (client, error) {
	var over transport.Interface
	if p.url == "" {
		over = transport.NewStdio(p.command[0], nil, p.command[1:]...)
	} else {
		options := []transport.StreamableHTTPCOption{transport.WithHTTPBasicClient(p.withToken())}
		if p.revision != modern { // it listens on the session's stream, which there is none of since
			options = append(options, transport.WithContinuousListening(), transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
		}
		var err error
		if over, err = transport.NewStreamableHTTP(p.url, options...); err != nil {
			return nil, err
		}
	}
	made := mcpclient.NewClient(over, mcpclient.WithRootsHandler(roots(p.outputDir)))
	c := &mcpgoClient{client: made}
	made.OnNotification(func(n mcp.JSONRPCNotification) {
		switch fields := n.Params.AdditionalFields; n.Method {
		case string(mcp.MethodNotificationProgress):
			c.told.progressed(fmt.Sprint(fields["progressToken"]))
		case mcp.MethodNotificationResourceUpdated:
			c.told.update(fmt.Sprint(fields["uri"]))
		}
	})
	if err := made.Start(ctx); err != nil {
		return nil, err
	}
	request := mcp.InitializeRequest{}
	request.Params.ClientInfo = mcp.Implementation{Name: "mcp-go", Version: "1"}
	request.Params.ProtocolVersion = p.revision
	var err error
	c.hello, err = made.Initialize(ctx, request)
	return c, err
}

func (c *mcpgoClient) server() (name, instructions, revision string, prompts bool) {
	return c.hello.ServerInfo.Name, c.hello.Instructions, c.hello.ProtocolVersion, c.hello.Capabilities.Prompts != nil
}

func (c *mcpgoClient) tools(ctx context.Context) (names []string, err error) {
	res, err := c.client.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, err
	}
	for _, tool := range res.Tools {
		names = append(names, tool.Name)
	}
	return names, nil
}

func (c *mcpgoClient) call(ctx context.Context, tool string, args map[string]any, token string) (result, error) {
	request := mcp.CallToolRequest{}
	request.Params.Name, request.Params.Arguments = tool, args
	if token != "" {
		request.Params.Meta = &mcp.Meta{ProgressToken: token}
	}
	res, err := c.client.CallTool(ctx, request)
	if err != nil {
		return result{}, err
	}
	out := result{isError: res.IsError}
	for _, content := range res.Content {
		if text, ok := content.(mcp.TextContent); ok {
			out.text += text.Text
		}
	}
	if line, err := json.Marshal(res.StructuredContent); err == nil {
		_ = json.Unmarshal(line, &out.structured)
	}
	return out, nil
}

func (c *mcpgoClient) resources(ctx context.Context) (uris []string, err error) {
	res, err := c.client.ListResources(ctx, mcp.ListResourcesRequest{})
	if err != nil {
		return nil, err
	}
	for _, resource := range res.Resources {
		uris = append(uris, resource.URI)
	}
	return uris, nil
}

func (c *mcpgoClient) templates(ctx context.Context) (uris []string, err error) {
	res, err := c.client.ListResourceTemplates(ctx, mcp.ListResourceTemplatesRequest{})
	if err != nil {
		return nil, err
	}
	for _, template := range res.ResourceTemplates {
		uris = append(uris, template.URITemplate.Raw())
	}
	return uris, nil
}

func (c *mcpgoClient) read(ctx context.Context, uri string) (mediaType, text string, err error) {
	request := mcp.ReadResourceRequest{}
	request.Params.URI = uri
	res, err := c.client.ReadResource(ctx, request)
	if err != nil {
		return "", "", err
	}
	content, ok := res.Contents[0].(mcp.TextResourceContents)
	if !ok {
		return "", "", errors.New("not a text")
	}
	return content.MIMEType, content.Text, nil
}

func (c *mcpgoClient) complete(ctx context.Context, template, argument, value string) ([]string, error) {
	request := mcp.CompleteRequest{}
	request.Params.Ref = mcp.ResourceReference{Type: "ref/resource", URI: template}
	request.Params.Argument = mcp.CompleteArgument{Name: argument, Value: value}
	res, err := c.client.Complete(ctx, request)
	if err != nil {
		return nil, err
	}
	return res.Completion.Values, nil
}

func (c *mcpgoClient) prompts(ctx context.Context) (prompts []prompt, err error) {
	res, err := c.client.ListPrompts(ctx, mcp.ListPromptsRequest{})
	if err != nil {
		return nil, err
	}
	for _, p := range res.Prompts {
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

func (c *mcpgoClient) prompt(ctx context.Context, name string, args map[string]string) (int, error) {
	request := mcp.GetPromptRequest{}
	request.Params.Name, request.Params.Arguments = name, args
	res, err := c.client.GetPrompt(ctx, request)
	if err != nil {
		return 0, err
	}
	return len(res.Messages), nil
}

// follow: since 2026-07-28 a subscription is a stream.
func (c *mcpgoClient) follow(ctx context.Context, uri string) (func() error, error) {
	if c.client.ProtocolVersion() == modern {
		failed := make(chan error, 1)
		stop, err := c.client.ListenAsync(ctx, mcp.SubscriptionFilter{ResourceSubscriptions: []string{uri}}, func(err error) { failed <- err })
		if err != nil {
			return nil, err
		}
		time.Sleep(200 * time.Millisecond)
		return func() error {
			stop()
			select {
			case err := <-failed:
				return err
			default:
				return nil
			}
		}, nil
	}
	request := mcp.SubscribeRequest{}
	request.Params.URI = uri
	return func() error {
		request := mcp.UnsubscribeRequest{}
		request.Params.URI = uri
		return c.client.Unsubscribe(ctx, request)
	}, c.client.Subscribe(ctx, request)
}

func (c *mcpgoClient) heard() *heard                  { return &c.told }
func (c *mcpgoClient) ping(ctx context.Context) error { return c.client.Ping(ctx) }
func (c *mcpgoClient) close() error                   { return c.client.Close() }
func (c *mcpgoClient) code(error) int                 { return 0 }
