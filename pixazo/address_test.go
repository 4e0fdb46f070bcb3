package pixazo

import "testing"

func TestAddressesOfThePublicInternetAreKnown(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "93.184.216.34": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true, "100.128.0.1": true,
		"192.0.1.1": true, "198.17.0.1": true, "198.20.0.1": true, "223.255.255.255": true, "11.0.0.1": true, "126.255.255.255": true, "128.0.0.1": true,
		"2606:4700::1111": true, "2a00:1450:4001:80b::200e": true, "2001:4860:4860::8888": true, "::ffff:8.8.8.8": true, "64:ff9b::8.8.8.8": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false,
		"127.255.255.254": false, "169.254.0.1": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.1": false, "192.0.0.192": false, "192.0.2.1": false,
		"192.88.99.1": false, "192.168.0.1": false, "192.168.255.255": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false,
		"203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"169.254.169.254": false, "169.254.170.2": false, "100.100.100.200": false, "168.63.129.16": false, "fd00:ec2::254": false, "fd20:ce::254": false, // metadata
		"::": false, "::1": false, "::127.0.0.1": false, "::8.8.8.8": false, "100::1": false, "2001::1": false, "2001:db8::1": false, "2001:10::1": false,
		"2001:0:4136:e378:8000:63bf:3fff:fdd2": false,                           // Teredo
		"2002:7f00:1::":                        false, "2002:808:808::1": false, // 6to4
		"fc00::1": false, "fd12:3456::1": false, "fe80::1": false, "fe80::1%eth0": false, "febf::1": false, "fec0::1": false, "ff02::1": false, "ff0e::1": false,
		"3fff::1": false, "5f00::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::ffff:192.168.1.1": false, "::ffff:0:127.0.0.1": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::169.254.169.254": false, "64:ff9b::a83f:8110": false, "64:ff9b:1::8.8.8.8": false,
		"": false,
	} {
		if got := IsPublic(address); got != want {
			t.Errorf("IsPublic(%s) = %t, want %t", address, got, want)
		}
	}
}
