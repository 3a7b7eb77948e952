"""Networks of DeOldify (Antic 2018 to 2024): DynamicUnets that predict an RGB image from a gray one."""
