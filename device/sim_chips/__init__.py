"""IMU chips without the hardware: register by register as their data sheets say, and an SMBus that they sit on."""
