// This file holds doctor's checks of the key and the gateway.

package setup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/pixazo"
)

// checkGateway checks the key and the gateway with a single request.
func (r *report) checkGateway(ctx context.Context) []Check {
	found, err := r.Settings.Key()
	r.secrets = append(r.secrets, found)
	if r.Settings.Sandbox {
		return []Check{{"key", statusOK, "not needed in the sandbox", ""}, {"gateway", statusOK, "not asked in the sandbox", ""}}
	}
	key := r.checkKey(found, err)
	asked := found
	if asked.IsZero() {
		asked, _ = pixazo.NewKey("doctor-has-no-key") // refusing it shows that the gateway works
	}
	client, err := pixazo.NewClient(pixazo.Config{
		GatewayURL: r.Settings.GatewayURL,
		Key:        func() (pixazo.Key, error) { return asked, nil },
		UserAgent:  "pixazo-mcp/doctor",
	})
	began := time.Now()
	if err == nil {
		err = client.Ping(ctx)
	}
	gateway := Check{Name: "gateway", Status: statusOK, Detail: fmt.Sprintf("%s answered in %d ms", r.Settings.GatewayURL, time.Since(began).Milliseconds())}
	e := &pixazo.Error{Code: pixazo.GatewayUnreachable, Message: fmt.Sprint(err)} // for any other type of error
	errors.As(err, &e)
	switch {
	case err == nil && found.IsZero(), pixazo.IsCode(err, pixazo.Unauthorized) && found.IsZero():
	case err == nil:
		key.Detail += ", accepted by the gateway"
	case e.Code == pixazo.GatewayUnreachable, e.Code == pixazo.Cancelled:
		gateway.Status, gateway.Detail = statusFail, r.Settings.GatewayURL+" can't be reached: "+e.Message
		gateway.Fix = "look at the connection, a proxy (HTTPS_PROXY) and --gateway-url"
		if !found.IsZero() {
			key.Detail += ", not tried"
		}
	case e.Code == pixazo.Unauthorized:
		key.worsen(statusFail, ": "+e.Message, "make a new one at "+pixazo.KeyURL+" and put it in the place of this one")
	case e.Code == pixazo.OutOfCredits:
		key.worsen(statusWarn, ", accepted, but "+e.Message, "buy credits at "+pixazo.CreditsURL)
	case e.HTTPStatus >= 500:
		gateway.worsen(statusFail, ", but "+e.Message, "try again later")
	case e.Code == pixazo.RateLimited:
		gateway.worsen(statusWarn, ", but "+e.Message, "")
	default:
		gateway.worsen(statusWarn, ", but not as expected: "+e.Message, "check that --gateway-url is the address of the gateway, and not of something else")
	}
	return []Check{key, gateway}
}

// checkKey checks the result of Settings.Key without asking the gateway.
func (r *report) checkKey(found pixazo.Key, err error) Check {
	key := Check{Name: "key", Status: statusOK}
	source, end := r.Settings.KeySource()
	file := r.Settings.APIKeyFile
	switch {
	case err != nil:
		key.Status, key.Detail, key.Fix = statusFail, err.Error(), "put the key there and nothing else"
		return key
	case found.IsZero() && r.keyed != nil:
		key.Detail = "none for a server that is started here, but " + strings.Join(r.keyed, ", ")
		return key
	case found.IsZero():
		key.Status, key.Detail = statusFail, "none found"
		key.Fix = "make one at " + pixazo.KeyURL + "; pixazo-mcp install asks for it and stores it"
		if file != "" {
			key.Fix += " in " + file
		}
		return key
	}
	key.Detail = "from " + source
	if end != "" {
		key.Detail += ", ends in " + end
	}
	if warning := r.Settings.KeyWarning(); warning != "" {
		key.Status, key.Fix = statusWarn, warning
	} else if file != "" && source != file {
		if stored, err := config.KeyOfFile(file); err == nil && stored.IsZero() {
			key.Fix = "a client may not see this variable; pixazo-mcp install stores the key in " + file
		}
	}
	return key
}
