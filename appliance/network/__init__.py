"""The box on its network: found without mDNS, an own Wi-Fi where there is none, shares, lines out."""
