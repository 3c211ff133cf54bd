// What the page takes of the package; what it does not name is left out of what is loaded.
export {
  Client, Tally, copyFolder, createKey, folders, importFolder, merge, nameOptions, openFolder, saveFile, saveZip, storageUsage, storedKeys, verify, version,
} from 'smart-fetch';
