// Where an EHR sends the user to (with ?iss=…&launch=…), and where the app is opened by itself.
/* global FHIR */
const status = document.querySelector('#status');

if (new URLSearchParams(location.search).has('iss')) {
  FHIR.oauth2
    .authorize({
      clientId: 'smart-fetch-example', // as registered with the EHR
      scope: 'launch/patient openid fhirUser online_access patient/*.rs',
      redirectUri: 'index.html',
    })
    .catch((error) => {
      status.setAttribute('role', 'alert');
      status.textContent = `The EHR cannot be asked: ${error.message}`;
    });
} else {
  status.textContent = 'This app gets your chart out of your EHR and keeps it on this device.';
  document.querySelector('#standalone').hidden = false;
}
